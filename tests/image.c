/* Laws of images: decoding, resizing, and folders of images by class. */
#include "core/data/image.h"
#include "core/base/hash.h"
#include "core/base/random.h"
#include "tests/fixture.h"
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <jpeglib.h>
#include <png.h>

struct bytes {
	uint8_t *data;
	size_t length;
};

/* A picture that is smooth in places and torn in others, of any number of channels. */
static uint8_t *picture(int width, int height, int channels)
{
	uint8_t *pixels = xmalloc((size_t)(width * height * channels)), *to = pixels;

	for (int y = 0; y < height; y++)
		for (int x = 0; x < width; x++)
			for (int c = 0; c < channels; c++)
				*to++ = (uint8_t)(x * (3 + c) + y * (5 - c) + x * y / 7 * (c + 1));
	return pixels;
}

static uint8_t *smooth_picture(int width, int height, int channels)
{
	uint8_t *pixels = xmalloc((size_t)(width * height * channels)), *to = pixels;

	for (int y = 0; y < height; y++)
		for (int x = 0; x < width; x++)
			for (int c = 0; c < channels; c++)
				*to++ = (uint8_t)(40 + x * (1 + c) + y * (3 - c));
	return pixels;
}

static struct bytes jpeg(const uint8_t *pixels, int width, int height, int channels)
{
	struct jpeg_compress_struct c;
	struct jpeg_error_mgr errors;
	unsigned char *data = NULL;
	unsigned long length = 0;

	c.err = jpeg_std_error(&errors);
	jpeg_create_compress(&c);
	jpeg_mem_dest(&c, &data, &length);
	c.image_width = (JDIMENSION)width;
	c.image_height = (JDIMENSION)height;
	c.input_components = channels;
	c.in_color_space = channels == 1 ? JCS_GRAYSCALE : channels == 3 ? JCS_RGB : JCS_CMYK;
	jpeg_set_defaults(&c);
	jpeg_set_quality(&c, 95, TRUE);
	jpeg_start_compress(&c, TRUE);
	while (c.next_scanline < c.image_height) {
		JSAMPROW row = (JSAMPROW)pixels + (int)c.next_scanline * width * channels;
		jpeg_write_scanlines(&c, &row, 1);
	}
	jpeg_finish_compress(&c);
	jpeg_destroy_compress(&c);
	return (struct bytes){data, length};
}

static struct bytes png(const uint8_t *pixels, int width, int height, int channels)
{
	static const png_uint_32 format[] = {0, PNG_FORMAT_GRAY, PNG_FORMAT_GA, PNG_FORMAT_RGB,
	                                     PNG_FORMAT_RGBA};
	png_image image = {.version = PNG_IMAGE_VERSION,
	                   .width = (png_uint_32)width,
	                   .height = (png_uint_32)height,
	                   .format = format[channels]};
	png_alloc_size_t length = 0;

	assert_true(png_image_write_to_memory(&image, NULL, &length, 0, pixels, 0, NULL));
	uint8_t *data = xmalloc(length);
	assert_true(png_image_write_to_memory(&image, data, &length, 0, pixels, 0, NULL));
	return (struct bytes){data, length};
}

static struct image decode(struct bytes b)
{
	struct image image;
	struct error e = {{0}};

	if (image_decode(b.data, b.length, "picture", &image, &e) != 0)
		fail_msg("%s", e.text);
	return image;
}

/* Sizes and digests are what PIL's resize(BILINEAR) and a centre crop give for the same pictures.
 */
static void fit_equals_pil_bit_for_bit(void **state)
{
	static const struct {
		int width, height, size_px;
		const char *sha256;
	} cases[] = {
	        {64, 64, 64, "a8399eb89d79d943ded1a40280a02b085de696391f9c30587e448198548d3ad0"},
	        {64, 48, 32, "13198014ce180befcb2d5c37df15a2900603c1382c5f30206d83ab0c3de348cb"},
	        {100, 37, 32, "2bbc912b52f40026fcc3cf6b41855fa391c73b627820199da96c939f3bdb5524"},
	        {37, 101, 64, "6260e636654d5b2420658c04af0f566b88e66b5c1afb4055b43eec93e46b8c93"},
	        {20, 13, 32, "863352556565886da31322d51d0ee0a463b2ec92116affd71c6fde1462b744c4"},
	        {500, 375, 224, "11e69d17744864abb2610fd72caa26f7226d31d530c724736a60b90515f1ec0a"},
	        {1, 1, 8, "5d89f056865052bcb89c910d2d62872e029fb273c3db03f8968a52a41593c1b5"},
	        {33, 32, 32, "7eff780f7253c893e90c555bda7438351aa58decaa243f5e5be429eb7c50665b"},
	        {35, 32, 32, "158decfb9562fbbf5a45d2c7cb5936fd9c93fb0ef92092ea6e2b4397cbabe364"},
	        {37, 32, 32, "158decfb9562fbbf5a45d2c7cb5936fd9c93fb0ef92092ea6e2b4397cbabe364"},
	};
	char hex[SHA256_HEX];

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		size_t size = (size_t)cases[i].size_px;
		struct image image = {cases[i].height, cases[i].width, NULL};
		uint8_t *out = xmalloc(3 * size * size);
		image.pixels = picture(image.width, image.height, 3);
		image_fit(&image, cases[i].size_px, out);
		sha256_hex(out, 3 * size * size, hex);
		assert_string_equal(hex, cases[i].sha256);
		image_release(&image);
		free(out);
	}
}

/* Of 1, 2 (grey, alpha), 3 and 4 (RGB, alpha) channels. */
static void png_comes_back_exactly_as_rgb(void **state)
{
	for (int channels = 1; channels <= 4; channels++) {
		uint8_t *pixels = picture(19, 11, channels);
		struct bytes b = png(pixels, 19, 11, channels);
		struct image image = decode(b);
		assert_int_equal(image.width, 19);
		assert_int_equal(image.height, 11);
		for (int i = 0; i < 19 * 11; i++)
			for (int c = 0; c < 3; c++)
				assert_int_equal(image.pixels[3 * i + c],
				                 pixels[i * channels + (channels < 3 ? 0 : c)]);
		image_release(&image);
		free(b.data);
		free(pixels);
	}
}

static void jpeg_comes_back_nearly_as_rgb(void **state)
{
	for (int channels = 1; channels <= 3; channels += 2) {
		uint8_t *pixels = smooth_picture(40, 24, channels);
		struct bytes b = jpeg(pixels, 40, 24, channels);
		struct image image = decode(b);
		assert_int_equal(image.width, 40);
		assert_int_equal(image.height, 24);
		for (int i = 0; i < 40 * 24; i++)
			for (int c = 0; c < 3; c++)
				assert_true(abs(image.pixels[3 * i + c] -
				                pixels[i * channels + (channels == 1 ? 0 : c)]) <=
				            6);
		image_release(&image);
		free(b.data);
		free(pixels);
	}
}

static void cmyk_jpeg_becomes_rgb(void **state)
{
	uint8_t pixels[16 * 16 * 4];

	for (int i = 0; i < 16 * 16; i++) /* no ink in red, half in green, full in blue, no black */
		memcpy(pixels + 4 * i, (uint8_t[4]){255, 128, 0, 255}, 4);
	struct bytes b = jpeg(pixels, 16, 16, 4);
	struct image image = decode(b);
	for (int i = 0; i < 16 * 16; i++) {
		assert_in_range(image.pixels[3 * i], 250, 255);
		assert_in_range(image.pixels[3 * i + 1], 124, 132);
		assert_in_range(image.pixels[3 * i + 2], 0, 5);
	}
	image_release(&image);
	free(b.data);
}

static void refuse(const void *data, size_t length, const char *what)
{
	struct image image;
	struct error e = {{0}};

	if (image_decode(data, length, "dir/cat.jpg", &image, &e) == 0)
		fail_msg("%zu bytes of a broken image were taken", length);
	assert_null(image.pixels);
	assert_int_equal(strncmp(e.text, "dir/cat.jpg: ", 13), 0);
	assert_non_null(strstr(e.text, what));
	assert_null(strchr(e.text, '\n'));
}

/* Wherever it is cut; copied to its exact size so that a sanitizer sees reads past the end. */
static void cut_image_is_refused_by_name(void **state)
{
	uint8_t *pixels = picture(24, 24, 3);
	struct bytes whole[2] = {jpeg(pixels, 24, 24, 3), png(pixels, 24, 24, 3)};

	for (int i = 0; i < 2; i++) {
		for (size_t length = 0; length < whole[i].length; length++) {
			uint8_t *part = xmalloc(length ? length : 1);
			memcpy(part, whole[i].data, length);
			refuse(part, length, "");
			free(part);
		}
		free(whole[i].data);
	}
	refuse("GIF89a and more", 15, "neither a JPEG nor a PNG");
	free(pixels);
}

/* Decoded or refused, but no crash; what is decoded has the size that it says. */
static void damaged_image_never_crashes(void **state)
{
	uint8_t *pixels = picture(24, 24, 3);
	struct bytes whole[2] = {jpeg(pixels, 24, 24, 3), png(pixels, 24, 24, 3)};
	struct random_stream s = random_stream(1, "damage", 0, 0);

	for (uint64_t i = 0; i < 2000; i++) {
		struct bytes b = whole[i % 2];
		uint8_t *copy = xmalloc(b.length), sum = 0;
		struct image image;
		memcpy(copy, b.data, b.length);
		for (uint64_t k = 0; k <= i % 3; k++)
			copy[2 + random_below(&s, 8 * i + k, b.length - 2)] =
			        (uint8_t)random_bits(&s, 8 * i + 4 + k);
		if (image_decode(copy, b.length, "x", &image, NULL) == 0)
			for (int p = 0; p < image.width * image.height * 3; p++)
				sum ^= image.pixels[p];
		image_release(&image);
		free(copy);
		(void)sum;
	}
	free(whole[0].data);
	free(whole[1].data);
	free(pixels);
}

static void giant_image_is_refused_before_memory_is_taken(void **state)
{
	uint8_t *pixels = picture(8, 8, 3);
	struct bytes b = jpeg(pixels, 8, 8, 3);

	for (size_t i = 0; i + 8 < b.length; i++)
		if (b.data[i] == 0xFF && b.data[i + 1] == 0xC0) /* frame header: height, width */
			memset(b.data + i + 5, 0xFD, 4);
	refuse(b.data, b.length, "65021 x 65021 pixels, more than is allowed");
	free(b.data);
	free(pixels);
}

/* --- folders --- */

/* A picture of one grey, so that it can be told from others after any resizing. */
static void put_image(const char *folder, const char *name, int grey)
{
	uint8_t pixels[40 * 20 * 3];

	memset(pixels, grey, sizeof pixels);
	struct bytes b = strstr(name, ".png") ? png(pixels, 40, 20, 3) : jpeg(pixels, 40, 20, 3);
	put_file(folder, name, b.data, b.length);
	free(b.data);
}

static void put_images(const char *folder)
{
	put_image(folder, "train/cat/2.png", 20);
	put_image(folder, "train/cat/1.jpg", 10);
	put_image(folder, "train/cat/more/3.JPEG", 30);
	put_image(folder, "train/ant/only.jpg", 40);
	put_image(folder, "train/dog/a.jpg", 50);
	put_image(folder, "train/dog/b.jpg", 60);
	put_image(folder, "val/dog/z.jpg", 70);
	put_image(folder, "val/ant/y.png", 80);
	put_file(folder, "train/cat/boxes.txt", "no image", 8);
	put_file(folder, "train/cat/._1.jpg", "no image", 8);
}

static struct dataset *open_folder(const char *scratch, const char *source, enum split split,
                                   bool flat, struct error *e)
{
	char *cache = xformat("%s/cache", scratch);
	struct dataset_request r = {.name = "folder",
	                            .source = source,
	                            .cache = cache,
	                            .split = split,
	                            .flat = flat,
	                            .image_size_px = 16};
	struct dataset *d = NULL;

	int status = dataset_open(&r, &d, e);
	assert_int_equal(status, d ? 0 : -1);
	free(cache);
	return d;
}

/* Labels and greys, in order: "label:grey …". */
static void holds(struct dataset *d, const char *want)
{
	struct text got = {0};

	assert_non_null(d);
	assert_int_equal(d->height, 16);
	assert_int_equal(d->width, 16);
	for (int64_t i = 0; i < d->count; i++)
		text_add(&got, "%s%d:%d", i ? " " : "", d->label[i], d->pixels[i * 768 + 5]);
	assert_string_equal(got.data, want);
	text_release(&got);
	dataset_free(d);
}

static const char TRAIN[] = "0:40 1:10 2:50 1:20 2:60 1:30", VAL[] = "0:80 2:70";

static void folder_takes_classes_in_turn(void **state)
{
	char *scratch = scratch_new(), *source = xformat("%s/set", scratch);
	struct error e = {{0}};

	put_images(source);
	struct dataset *d = open_folder(scratch, source, SPLIT_TRAIN, false, &e);
	assert_int_equal(d->classes, 3);
	assert_string_equal(d->class_name[0], "ant");
	assert_string_equal(d->class_name[2], "dog");
	holds(d, TRAIN);
	d = open_folder(scratch, source, SPLIT_TEST, false, &e);
	assert_int_equal(d->classes, 3); /* of train, though val has no cat */
	holds(d, VAL);
	free(source);
	scratch_remove(scratch);
}

static void folder_archive_equals_folder(void **state)
{
	static const char *const archives[] = {"a.tar", "a.tar.gz", "a.tar.xz", "a.zip"};
	char *scratch = scratch_new(), *source = xformat("%s/set", scratch);
	struct error e = {{0}};

	put_images(source);
	for (size_t i = 0; i < sizeof archives / sizeof *archives; i++) {
		char *path = xformat("%s/%s", scratch, archives[i]);
		pack(source, i % 2 ? "top/" : "", path);
		holds(open_folder(scratch, path, SPLIT_TRAIN, false, &e), TRAIN);
		holds(open_folder(scratch, path, SPLIT_TEST, false, &e), VAL);
		free(path);
	}
	free(source);
	scratch_remove(scratch);
}

/* Archives made where names are Unicode, read where they are ASCII. */
static void unicode_names_are_read_in_any_locale(void **state)
{
	static const char *const archives[] = {"a.tar", "a.zip"};
	char *scratch = scratch_new(), *source = xformat("%s/set", scratch);
	struct error e = {{0}};

	put_image(source, "train/\xC3\xA9t\xC3\xA9/1.jpg", 10);
	put_image(source, "train/hiver/1.jpg", 20);
	for (size_t i = 0; i < sizeof archives / sizeof *archives; i++) {
		char *path = xformat("%s/%s", scratch, archives[i]);
		assert_non_null(setlocale(LC_CTYPE, "C.UTF-8"));
		pack(source, "", path);
		setlocale(LC_CTYPE, "C");
		struct dataset *d = open_folder(scratch, path, SPLIT_TRAIN, false, &e);
		assert_non_null(d);
		assert_string_equal(d->class_name[1], "\xC3\xA9t\xC3\xA9");
		holds(d, "0:20 1:10");
		free(path);
	}
	free(source);
	scratch_remove(scratch);
}

static void changed_folder_is_read_again(void **state)
{
	char *scratch = scratch_new(), *source = xformat("%s/set", scratch);
	struct error e = {{0}};

	put_images(source);
	holds(open_folder(scratch, source, SPLIT_TRAIN, false, &e), TRAIN);
	put_image(source, "train/ant/another.jpg", 90);
	holds(open_folder(scratch, source, SPLIT_TRAIN, false, &e),
	      "0:90 1:10 2:50 0:40 1:20 2:60 1:30");
	free(source);
	scratch_remove(scratch);
}

static void flat_folder_is_one_split(void **state)
{
	char *scratch = scratch_new(), *source = xformat("%s/set", scratch);
	struct error e = {{0}};

	put_image(source, "textures/images/wood/a.jpg", 10);
	put_image(source, "textures/images/sand/b.jpg", 20);
	holds(open_folder(scratch, source, SPLIT_TEST, true, &e), "0:20 1:10");
	assert_null(open_folder(scratch, source, SPLIT_TEST, false, &e));
	assert_non_null(strstr(e.text, "no images test/ or val/<class>/"));
	assert_non_null(strstr(e.text, "found textures/images/sand/b.jpg"));
	free(source);
	scratch_remove(scratch);
}

static void tiny_imagenet_annotations_give_classes(void **state)
{
	static const char lines[] = "val_0.JPEG\tn2\t0\t0\t9\t9\nval_1.JPEG\tn1\t0\t0\t9\t9\n";
	char *scratch = scratch_new(), *source = xformat("%s/set", scratch);
	struct error e = {{0}};

	put_image(source, "t/train/n1/images/n1_0.JPEG", 10);
	put_image(source, "t/train/n2/images/n2_0.JPEG", 20);
	put_image(source, "t/val/images/val_0.JPEG", 30);
	put_image(source, "t/val/images/val_1.JPEG", 40);
	put_image(source, "t/test/images/test_0.JPEG",
	          50); /* without labels, so not the test split */
	put_file(source, "t/val/val_annotations.txt", lines, strlen(lines));
	holds(open_folder(scratch, source, SPLIT_TRAIN, false, &e), "0:10 1:20");
	holds(open_folder(scratch, source, SPLIT_TEST, false, &e), "0:40 1:30");
	free(source);
	scratch_remove(scratch);
}

static void bad_folders_are_refused_in_one_line(void **state)
{
	char *scratch = scratch_new(), *source = xformat("%s/set", scratch);
	struct error e = {{0}};

	put_images(source);
	put_image(source, "val/bee/x.jpg", 1);
	assert_null(open_folder(scratch, source, SPLIT_TEST, false, &e));
	assert_non_null(strstr(e.text, "val/bee/x.jpg is of class bee"));
	assert_non_null(strstr(e.text, "3 classes of train/"));
	put_file(source, "train/cat/1.jpg", "\xFF\xD8\xFF and no more", 15);
	assert_null(open_folder(scratch, source, SPLIT_TRAIN, false, &e));
	assert_non_null(strstr(e.text, "train/cat/1.jpg: corrupt JPEG: "));
	assert_null(strchr(e.text, '\n'));
	put_file(source, "train/cat/1.jpg", "", 0);
	assert_null(open_folder(scratch, source, SPLIT_TRAIN, false, &e));
	assert_non_null(strstr(e.text, "train/cat/1.jpg: neither"));
	put_image(source, "train/cat/1.jpg", 10);
	holds(open_folder(scratch, source, SPLIT_TRAIN, false, &e), TRAIN);
	free(source);
	scratch_remove(scratch);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(fit_equals_pil_bit_for_bit),
	        cmocka_unit_test(png_comes_back_exactly_as_rgb),
	        cmocka_unit_test(jpeg_comes_back_nearly_as_rgb),
	        cmocka_unit_test(cmyk_jpeg_becomes_rgb),
	        cmocka_unit_test(cut_image_is_refused_by_name),
	        cmocka_unit_test(damaged_image_never_crashes),
	        cmocka_unit_test(giant_image_is_refused_before_memory_is_taken),
	        cmocka_unit_test(folder_takes_classes_in_turn),
	        cmocka_unit_test(folder_archive_equals_folder),
	        cmocka_unit_test(unicode_names_are_read_in_any_locale),
	        cmocka_unit_test(changed_folder_is_read_again),
	        cmocka_unit_test(flat_folder_is_one_split),
	        cmocka_unit_test(tiny_imagenet_annotations_give_classes),
	        cmocka_unit_test(bad_folders_are_refused_in_one_line),
	};

	return cmocka_run_group_tests_name("image", tests, NULL, NULL);
}
