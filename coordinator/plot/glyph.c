/* A font of strokes, for pictures that must not depend on installed fonts. */
#include "coordinator/plot/glyph.h"
#include <math.h>
#include <stdlib.h>

static const struct glyph {
	uint32_t character;
	double width;
	const char *strokes;
} glyphs[] = {
#define GLYPH(character, width, strokes) {character, width, strokes},
#include "coordinator/plot/glyph.def"
#undef GLYPH
};
enum { GLYPHS = sizeof glyphs / sizeof *glyphs, ARC_STEP_DEGREES = 12 };

static const double CAPITAL = 14, CAPITAL_EM = 0.70, SPACING = 3.6;

/* The next character of UTF-8; what is none counts as U+FFFD, byte by byte. */
static uint32_t next(const char **text)
{
	const unsigned char *s = (const unsigned char *)*text;
	int more = s[0] < 0x80 ? 0 : s[0] >= 0xf0 ? 3 : s[0] >= 0xe0 ? 2 : s[0] >= 0xc0 ? 1 : -1;
	uint32_t c = more <= 0 ? s[0] : s[0] & (0x3fu >> more);

	for (int i = 1; i <= more; i++) {
		if ((s[i] & 0xc0) != 0x80)
			more = -1;
		else
			c = c << 6 | (s[i] & 0x3f);
	}
	*text += more < 0 ? 1 : more + 1;
	return more < 0 ? 0xfffd : c;
}

static const struct glyph *find(uint32_t character)
{
	for (int i = 0; i < GLYPHS; i++)
		if (glyphs[i].character == character)
			return &glyphs[i];
	return &glyphs[GLYPHS - 1];
}

static double unit(const struct font *font)
{
	return font->size_px * CAPITAL_EM / CAPITAL;
}

double glyph_width(const struct font *font, const char *text)
{
	double width = 0;

	while (*text)
		width += find(next(&text))->width + SPACING;
	return width > 0 ? (width - SPACING) * unit(font) : 0;
}

/* Where a glyph's unit square lies in the picture. */
struct place {
	double x, y, along[2]; /* along: the baseline's direction times the unit */
	struct path *out;
};

static void put(const struct place *at, double x, double y, bool begins)
{
	double px = at->x + x * at->along[0] + y * at->along[1];
	double py = at->y + x * at->along[1] - y * at->along[0];

	(begins ? path_move : path_line)(at->out, px, py);
}

static void put_arc(const struct place *at, const double v[6], bool begins)
{
	int steps = (int)(fabs(v[5] - v[4]) / ARC_STEP_DEGREES) + 2;

	for (int i = 0; i <= steps; i++) {
		double angle = (v[4] + (v[5] - v[4]) * i / steps) * M_PI / 180;
		put(at, v[0] + v[2] * cos(angle), v[1] + v[3] * sin(angle), begins && !i);
	}
}

static void put_glyph(const struct place *at, const char *strokes)
{
	while (*strokes) {
		char command = *strokes++, *end;
		bool arc = command == 'A' || command == 'a';
		double v[6] = {0};
		for (int i = 0; i < (arc ? 6 : 2); i++, strokes = end)
			v[i] = strtod(strokes, &end);
		if (arc)
			put_arc(at, v, command == 'A');
		else
			put(at, v[0], v[1], command == 'M');
		while (*strokes == ' ')
			strokes++;
	}
}

double glyph_strokes(const struct font *font, double x, double y, const char *text,
                     struct path *out)
{
	double angle = font->degrees * M_PI / 180, u = unit(font);
	double shift = font->anchor == ANCHOR_START ? 0 : glyph_width(font, text);
	struct place at = {x, y, {u * cos(angle), -u * sin(angle)}, out};

	shift /= font->anchor == ANCHOR_MIDDLE ? 2 : 1;
	at.x -= shift * cos(angle);
	at.y += shift * sin(angle);
	while (*text) {
		const struct glyph *g = find(next(&text));
		put_glyph(&at, g->strokes);
		at.x += (g->width + SPACING) * at.along[0];
		at.y += (g->width + SPACING) * at.along[1];
	}
	return font->size_px * (font->bold ? 0.115 : 0.08);
}
