/* Decodes JPEG and PNG (libjpeg-turbo, libpng) to RGB. */
#include "core/data/image.h"
#include "core/base/text.h"
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#include <jerror.h>
#include <png.h>

static const uint8_t JPEG_MAGIC[3] = {0xFF, 0xD8, 0xFF};
static const uint8_t PNG_MAGIC[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};

void image_release(struct image *image)
{
	free(image->pixels);
	image->pixels = NULL;
}

static int check_size(uint64_t height, uint64_t width, const char *name, struct error *e)
{
	if (!height || !width || height > IMAGE_MAX_SIDE_PX || width > IMAGE_MAX_SIDE_PX ||
	    height * width > IMAGE_MAX_PX)
		return error_set(
		        e, "%s: %llu x %llu pixels, more than is allowed (%d a side, %d in all)",
		        name, (unsigned long long)width, (unsigned long long)height,
		        IMAGE_MAX_SIDE_PX, IMAGE_MAX_PX);
	return 0;
}

/* --- JPEG --- */

struct jpeg_job {
	struct jpeg_decompress_struct jpeg;
	struct jpeg_error_mgr errors;
	jmp_buf leave;
	const char *name;
	struct error *e;
};

static void jpeg_fail(j_common_ptr common)
{
	struct jpeg_job *job = common->client_data;
	char why[JMSG_LENGTH_MAX];

	common->err->format_message(common, why);
	error_set(job->e, "%s: corrupt JPEG: %s", job->name, why);
	longjmp(job->leave, 1);
}

/* The library goes on after a warning and invents what is missing; only harmless ones may pass. */
static void jpeg_message(j_common_ptr common, int level)
{
	int code = common->err->msg_code;

	if (level < 0 && code != JWRN_EXTRANEOUS_DATA && code != JWRN_ADOBE_XFORM &&
	    code != JWRN_JFIF_MAJOR && code != JWRN_BOGUS_PROGRESSION)
		jpeg_fail(common);
}

/* Adobe writes CMYK inverted: 255 is no ink. */
static void cmyk_to_rgb(const uint8_t *cmyk, int adobe, int width, uint8_t *rgb)
{
	for (int x = 0; x < width; x++)
		for (int c = 0; c < 3; c++) {
			int ink = cmyk[4 * x + c], black = cmyk[4 * x + 3];
			if (!adobe) {
				ink = 255 - ink;
				black = 255 - black;
			}
			rgb[3 * x + c] = (uint8_t)((ink * black + 127) / 255);
		}
}

static void jpeg_rows(struct jpeg_job *job, struct image *out, uint8_t *row)
{
	struct jpeg_decompress_struct *jpeg = &job->jpeg;

	while (jpeg->output_scanline < jpeg->output_height) {
		uint8_t *to = out->pixels + (size_t)jpeg->output_scanline * (size_t)out->width * 3;
		if (row) {
			jpeg_read_scanlines(jpeg, &row, 1);
			cmyk_to_rgb(row, jpeg->saw_Adobe_marker, out->width, to);
		} else {
			jpeg_read_scanlines(jpeg, &to, 1);
		}
	}
}

static int jpeg_decode(const void *bytes, size_t length, const char *name, struct image *out,
                       struct error *e)
{
	struct jpeg_job job = {.name = name, .e = e};
	struct jpeg_decompress_struct *jpeg = &job.jpeg;
	uint8_t *volatile row = NULL;
	volatile int status = -1;

	jpeg->err = jpeg_std_error(&job.errors);
	jpeg->client_data = &job;
	job.errors.error_exit = jpeg_fail;
	job.errors.emit_message = jpeg_message;
	if (setjmp(job.leave))
		goto end;
	jpeg_create_decompress(jpeg);
	jpeg_mem_src(jpeg, bytes, (unsigned long)length);
	jpeg_read_header(jpeg, TRUE);
	if (check_size(jpeg->image_height, jpeg->image_width, name, e) != 0)
		goto end;
	int cmyk = jpeg->num_components == 4;
	jpeg->out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
	jpeg_start_decompress(jpeg);
	out->height = (int)jpeg->output_height;
	out->width = (int)jpeg->output_width;
	out->pixels = xmalloc((size_t)out->height * (size_t)out->width * 3);
	row = cmyk ? xmalloc((size_t)out->width * 4) : NULL;
	jpeg_rows(&job, out, row);
	jpeg_finish_decompress(jpeg);
	status = 0;
end:
	jpeg_destroy_decompress(jpeg);
	free(row);
	return status;
}

/* --- PNG --- */

struct png_job {
	const uint8_t *at;
	size_t left;
	const char *name;
	struct error *e;
};

static void png_fail(png_structp png, png_const_charp why)
{
	struct png_job *job = png_get_error_ptr(png);

	error_set(job->e, "%s: corrupt PNG: %s", job->name, why);
	png_longjmp(png, 1);
}

static void png_quiet(png_structp png, png_const_charp why)
{
	(void)png;
	(void)why;
}

static void png_bytes(png_structp png, png_bytep to, size_t count)
{
	struct png_job *job = png_get_io_ptr(png);

	if (count > job->left)
		png_error(png, "the file ends too early");
	memcpy(to, job->at, count);
	job->at += count;
	job->left -= count;
}

/* Whatever is stored, rows come out as 8-bit RGB.  Returns the passes of an interlaced image. */
static int png_to_rgb(png_structp png, png_infop info)
{
	png_set_expand(png);
	png_set_strip_16(png);
	png_set_gray_to_rgb(png);
	png_set_strip_alpha(png);
	int passes = png_set_interlace_handling(png);
	png_read_update_info(png, info);
	return passes;
}

static void png_rows(png_structp png, png_infop info, struct image *out)
{
	int passes = png_to_rgb(png, info);
	size_t row_bytes = (size_t)out->width * 3;

	if (png_get_rowbytes(png, info) != row_bytes)
		png_error(png, "an unknown pixel format");
	for (int pass = 0; pass < passes; pass++)
		for (int y = 0; y < out->height; y++)
			png_read_row(png, out->pixels + (size_t)y * row_bytes, NULL);
	png_read_end(png, NULL);
}

static int png_decode(const void *bytes, size_t length, const char *name, struct image *out,
                      struct error *e)
{
	struct png_job job = {bytes, length, name, e};
	png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &job, png_fail, png_quiet);
	png_infop info = png ? png_create_info_struct(png) : NULL;
	volatile int status = -1;

	if (!info) {
		error_set(e, "%s: out of memory", name);
		goto end;
	}
	if (setjmp(png_jmpbuf(png)))
		goto end;
	png_set_read_fn(png, &job, png_bytes);
	png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
	png_read_info(png, info);
	if (check_size(png_get_image_height(png, info), png_get_image_width(png, info), name, e) !=
	    0)
		goto end;
	out->height = (int)png_get_image_height(png, info);
	out->width = (int)png_get_image_width(png, info);
	out->pixels = xcalloc((size_t)out->height * (size_t)out->width, 3);
	png_rows(png, info, out);
	status = 0;
end:
	png_destroy_read_struct(&png, &info, NULL);
	return status;
}

static int begins(const void *bytes, size_t length, const uint8_t *magic, size_t magic_bytes)
{
	return length >= magic_bytes && memcmp(bytes, magic, magic_bytes) == 0;
}

int image_decode(const void *bytes, size_t length, const char *name, struct image *out,
                 struct error *e)
{
	int status;

	*out = (struct image){0};
	if (begins(bytes, length, JPEG_MAGIC, sizeof JPEG_MAGIC))
		status = jpeg_decode(bytes, length, name, out, e);
	else if (begins(bytes, length, PNG_MAGIC, sizeof PNG_MAGIC))
		status = png_decode(bytes, length, name, out, e);
	else
		return error_set(e, "%s: neither a JPEG nor a PNG file", name);
	if (status != 0)
		image_release(out);
	return status;
}
