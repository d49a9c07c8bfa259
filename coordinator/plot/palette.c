/* Colours that the colour-blind tell apart, on white. */
#include "coordinator/plot/palette.h"
#include <math.h>

static const colour scale[] = {0x440154, 0x482475, 0x414487, 0x355f8d, 0x2a788e, 0x21918c,
                               0x22a884, 0x44bf70, 0x7ad151, 0xbddf26, 0xfde725};
static const colour kinds[] = {0x0072b2, 0xd55e00, 0x009e73, 0xcc79a7,
                               0xe69f00, 0x56b4e9, 0x000000, 0x999999};
enum { SCALE = sizeof scale / sizeof *scale, KINDS = sizeof kinds / sizeof *kinds };

colour palette_scale(double part)
{
	double at = fmin(fmax(part, 0), 1) * (SCALE - 1);
	int i = at >= SCALE - 1 ? SCALE - 2 : (int)at;
	colour mixed = 0;

	for (int shift = 16; shift >= 0; shift -= 8) {
		double a = scale[i] >> shift & 255, b = scale[i + 1] >> shift & 255;
		mixed |= (colour)lround(a + (b - a) * (at - i)) << shift;
	}
	return mixed;
}

colour palette_kind(int i)
{
	return kinds[i % KINDS];
}

bool palette_dark(colour c)
{
	return 0.3 * (c >> 16 & 255) + 0.59 * (c >> 8 & 255) + 0.11 * (c & 255) < 140;
}
