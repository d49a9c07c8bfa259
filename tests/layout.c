/* Laws of other people's layouts: idx files (MNIST and its like), Tiny-ImageNet. */
#include "tests/dataset_lab.h"
#include <jpeglib.h>

/* An idx file of bytes: size[0] to size[dimensions - 1], then values that are functions of their
 * place; room for what a test spoils. */
struct idx {
	uint8_t bytes[4096];
	size_t length;
};

static struct idx idx_of(int dimensions, const int *size)
{
	struct idx f = {{0, 0, 8, (uint8_t)dimensions}, 4};
	int values = 1;

	for (int i = 0; i < dimensions; i++) {
		f.bytes[f.length + 2] = (uint8_t)(size[i] >> 8);
		f.bytes[f.length + 3] = (uint8_t)size[i];
		f.length += 4;
		values *= size[i];
	}
	for (int i = 0; i < values; i++)
		f.bytes[f.length++] = (uint8_t)(dimensions == 1 ? i % 4 : i * 7);
	return f;
}

static struct dataset_request request_of(const char *name, const struct place *p, enum split split)
{
	return (struct dataset_request){
	        .name = name, .source = p->source, .cache = p->cache, .split = split};
}

static void put_idx(const struct place *p, const char *name, const struct idx *f)
{
	put_file(p->source, name, f->bytes, f->length);
}

/* 9 images of 5 rows of 4, labels 0 to 3; 6 test images. */
static void put_digits(const struct place *p)
{
	struct idx images = idx_of(3, (int[]){9, 5, 4}), labels = idx_of(1, (int[]){9});

	put_idx(p, "train-images-idx3-ubyte", &images);
	put_idx(p, "train-labels-idx1-ubyte", &labels);
	images = idx_of(3, (int[]){6, 5, 4});
	labels = idx_of(1, (int[]){6});
	put_idx(p, "t10k-images.idx3-ubyte", &images); /* as some unpack it */
	put_idx(p, "t10k-labels.idx1-ubyte", &labels);
}

static void grey_is_given_three_times(void **state)
{
	struct place p = place_new();

	put_digits(&p);
	struct dataset *d = open_split("idx", p.source, p.cache, SPLIT_TRAIN);
	assert_int_equal(d->count, 9);
	assert_int_equal(d->height, 5);
	assert_int_equal(d->width, 4);
	assert_int_equal(d->channels, 3);
	assert_int_equal(d->classes, 4);
	assert_string_equal(d->class_name[3], "3");
	assert_int_equal(d->label[6], 2);
	for (int i = 0; i < 20; i++) {
		const uint8_t *image = d->pixels + 2 * 60;
		assert_int_equal(image[i], (uint8_t)((40 + i) * 7));
		assert_int_equal(image[i], image[20 + i]);
		assert_int_equal(image[i], image[40 + i]);
	}
	dataset_free(d);
	d = open_split("idx", p.source, p.cache, SPLIT_TEST);
	assert_int_equal(d->count, 6);
	assert_int_equal(d->classes, 4);
	dataset_free(d);
	place_remove(&p);
}

/* Two sets in one archive, each below a folder of its own. */
static void a_folder_inside_of_an_archive_is_a_source(void **state)
{
	struct place p = place_new(), inner = p;
	char *archive = xformat("%s/both.tar.gz", p.folder);

	inner.source = xformat("%s/digits", p.source);
	put_digits(&inner);
	put_file(p.source, "letters/t10k-images-idx3-ubyte", "bad", 3);
	put_file(p.source, "digits2/t10k-images-idx3-ubyte", "bad", 3);
	pack(p.source, "./both/", archive);
	for (int slash = 0; slash < 2; slash++) {
		char *source = xformat("%s/both/digits%s", archive, slash ? "/" : "");
		struct dataset *d = open_split("idx", source, p.cache, SPLIT_TEST);
		assert_int_equal(d->count, 6);
		dataset_free(d);
		free(source);
	}
	char *letters = xformat("%s/both/letters", archive), *none = xformat("%s/no", archive);
	struct dataset_request r = {
	        .name = "idx", .source = letters, .cache = p.cache, .split = SPLIT_TEST};
	refused(r, "both.tar.gz/both/letters", "no file t10k-labels");
	r.source = none;
	refused(r, "both.tar.gz: no folder no in this archive");
	free(none);
	free(letters);
	free(archive);
	free(inner.source);
	place_remove(&p);
}

struct spoiled {
	const char *file; /* null: the file is not there */
	int at, value;    /* this byte becomes this */
	int cut;          /* bytes taken off the end; negative: added */
	const char *words[2];
};

static void bad_idx_is_refused_in_one_line(void **state)
{
	static const struct spoiled bad[] = {
	        {"train-images-idx3-ubyte",
	         0,
	         0,
	         1,
	         {"179 values, its header says 180", "truncated"}},
	        {"train-images-idx3-ubyte", 0, 0, -1, {"181 values, its header says 180", ""}},
	        {"train-images-idx3-ubyte", 0, 0, 185, {"11 bytes", "truncated"}},
	        {"train-images-idx3-ubyte", 0, 0, 196, {"0 bytes", "truncated"}},
	        {"train-images-idx3-ubyte", 3, 1, 0, {"magic number 00000801", "00000803"}},
	        {"train-images-idx3-ubyte", 2, 13, 0, {"magic number 00000d03", "00000803"}},
	        {"train-images-idx3-ubyte", 8, 255, 0, {"dimension 1 is", ""}},
	        {"train-images-idx3-ubyte", 11, 0, 0, {"dimension 1 is 0", ""}},
	        {"train-images-idx3-ubyte", 4, 255, 0, {"180 values", "truncated"}},
	        {"train-labels-idx1-ubyte", 7, 8, 1, {"9 images", "8 labels"}},
	        {"train-labels-idx1-ubyte", 0, 0x1f, 0, {"magic number 1f", "00000801"}},
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct place p = place_new();
		bool images = strstr(bad[i].file, "images");
		struct idx f = images ? idx_of(3, (int[]){9, 5, 4}) : idx_of(1, (int[]){9});

		put_digits(&p);
		if (bad[i].value || bad[i].at)
			f.bytes[bad[i].at] = (uint8_t)bad[i].value;
		f.length -= (size_t)bad[i].cut;
		put_idx(&p, bad[i].file, &f);
		refused(request_of("idx", &p, SPLIT_TRAIN), bad[i].file, bad[i].words[0],
		        bad[i].words[1]);
		place_remove(&p);
	}
}

static void test_labels_are_among_those_of_training(void **state)
{
	struct place p = place_new();
	struct idx labels = idx_of(1, (int[]){6});
	struct dataset_request r = request_of("idx", &p, SPLIT_TEST);

	put_digits(&p);
	labels.bytes[8 + 4] = 9;
	put_idx(&p, "t10k-labels.idx1-ubyte", &labels);
	refused(r, "t10k-labels.idx1-ubyte", "label 4 is 9", "0 to 3");
	place_remove(&p);
}

static void absent_and_double_idx_files_are_named(void **state)
{
	struct place p = place_new();
	struct idx f = idx_of(3, (int[]){9, 5, 4});
	struct dataset_request r = request_of("idx", &p, SPLIT_TRAIN);

	put_idx(&p, "other/train-images-idx3-ubyte", &f);
	refused(r, "no file train-labels-idx1-ubyte", "other/train-images-idx3-ubyte");
	put_digits(&p);
	refused(r, "both ", "other/train-images-idx3-ubyte");
	place_remove(&p);
}

/* Stored in blocks, as gzip allows: no compressor is needed here. */
static void put_gzip(const struct place *p, const char *name, const struct idx *f, bool damage)
{
	uint8_t out[4200] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 1};
	uint32_t crc = 0xffffffff;
	size_t n = 11, length = f->length;

	for (int k = 0; k < 4; k++)
		out[n++] = (uint8_t)((k < 2 ? length : ~length) >> 8 * (k % 2));
	memcpy(out + n, f->bytes, length);
	n += length;
	for (size_t i = 0; i < length; i++) {
		crc ^= f->bytes[i];
		for (int k = 0; k < 8; k++)
			crc = crc >> 1 ^ (crc & 1 ? 0xedb88320 : 0);
	}
	for (int k = 0; k < 4; k++)
		out[n++] = (uint8_t)(~crc >> 8 * k);
	for (int k = 0; k < 4; k++)
		out[n++] = (uint8_t)(length >> 8 * k);
	put_file(p->source, name, out, damage ? n / 2 : n);
}

static void gzip_is_unpacked_in_folders_and_archives(void **state)
{
	struct place p = place_new();
	struct idx images = idx_of(3, (int[]){9, 5, 4}), labels = idx_of(1, (int[]){9});
	char *archive = xformat("%s/a.tar", p.folder);

	put_gzip(&p, "train-images-idx3-ubyte.gz", &images, false);
	put_gzip(&p, "train-labels-idx1-ubyte.gz", &labels, false);
	struct dataset *d = open_split("idx", p.source, p.cache, SPLIT_TRAIN);
	pack(p.source, "mnist/", archive);
	struct dataset *packed = open_split("idx", archive, p.cache, SPLIT_TRAIN);
	assert_int_equal(d->count, 9);
	assert_memory_equal(d->pixels, packed->pixels, 9 * 60);
	assert_int_equal(d->pixels[60], (uint8_t)(20 * 7));
	dataset_free(d);
	dataset_free(packed);
	put_gzip(&p, "train-images-idx3-ubyte.gz", &images, true);
	refused(request_of("idx", &p, SPLIT_TRAIN), "train-images-idx3-ubyte.gz", "gzip");
	free(archive);
	place_remove(&p);
}

/* A JPEG of one grey. */
static void put_jpeg(const char *folder, const char *name, uint8_t grey)
{
	struct jpeg_compress_struct c;
	struct jpeg_error_mgr manager;
	unsigned char *out = NULL;
	unsigned long bytes = 0;
	uint8_t row[64];
	JSAMPROW rows[1] = {row};

	memset(row, grey, sizeof row);
	c.err = jpeg_std_error(&manager);
	jpeg_create_compress(&c);
	jpeg_mem_dest(&c, &out, &bytes);
	c.image_width = c.image_height = 64;
	c.input_components = 1;
	c.in_color_space = JCS_GRAYSCALE;
	jpeg_set_defaults(&c);
	jpeg_start_compress(&c, TRUE);
	while (c.next_scanline < 64)
		jpeg_write_scanlines(&c, rows, 1);
	jpeg_finish_compress(&c);
	jpeg_destroy_compress(&c);
	put_file(folder, name, out, bytes);
	free(out);
}

static void put_text(const struct place *p, const char *name, const char *text)
{
	put_file(p->source, name, text, strlen(text));
}

/* Three classes, two of the same word; in wnids.txt in another order, as distributed. */
static void put_tiny(const struct place *p)
{
	put_jpeg(p->source, "train/n03/images/n03_0.JPEG", 30);
	put_jpeg(p->source, "train/n01/images/n01_0.JPEG", 10);
	put_jpeg(p->source, "train/n01/images/n01_1.JPEG", 11);
	put_jpeg(p->source, "train/n02/images/n02_0.JPEG", 20);
	put_text(p, "train/n01/n01_boxes.txt", "n01_0.JPEG\t0\t0\t63\t63\n");
	put_jpeg(p->source, "val/images/val_0.JPEG", 130);
	put_jpeg(p->source, "val/images/val_1.JPEG", 110);
	put_jpeg(p->source, "test/images/test_0.JPEG", 200);
	put_text(p, "wnids.txt", "n03\nn01\nn02\n");
	put_text(p, "words.txt",
	         "n00\tentity\nn01\tcrane, bird\nn02\tcrane\nn03\tEgyptian cat, cat\n");
	put_text(p, "val/val_annotations.txt",
	         "val_0.JPEG\tn03\t0\t0\t9\t9\nval_1.JPEG\tn01\t0\t0\t9\t9\n");
}

static void tiny_imagenet_is_read_as_distributed(void **state)
{
	struct place p = place_new();
	char *archive = xformat("%s/tiny.zip", p.folder);

	put_tiny(&p);
	struct dataset *d = open_split("tiny_imagenet", p.source, p.cache, SPLIT_TRAIN);
	assert_int_equal(d->count, 4);
	assert_int_equal(d->height, 64);
	assert_int_equal(d->classes, 3);
	assert_string_equal(d->class_name[0], "crane (n01)");
	assert_string_equal(d->class_name[1], "crane (n02)");
	assert_string_equal(d->class_name[2], "Egyptian cat");
	assert_int_equal(d->pixels[2 * 3 * 64 * 64], 30);
	dataset_free(d);
	pack(p.source, "tiny-imagenet-200/", archive);
	d = open_split("tiny_imagenet", archive, p.cache, SPLIT_TEST);
	assert_int_equal(d->count, 2);
	assert_int_equal(d->label[0], 0);
	assert_int_equal(d->label[1], 2);
	assert_int_equal(d->pixels[0], 110);
	dataset_free(d);
	free(archive);
	place_remove(&p);
}

static void bad_tiny_imagenet_is_refused_in_one_line(void **state)
{
	static const struct {
		const char *file, *text; /* null: the file is taken away */
		const char *word;
	} bad[] = {
	        {"val/val_annotations.txt", NULL, "no val_annotations.txt"},
	        {"wnids.txt", NULL, "no wnids.txt"},
	        {"words.txt", NULL, "no words.txt"},
	        {"wnids.txt", "n01\nn02\n", "train/n03"},
	        {"wnids.txt", "n03\nn01\nn02\nn04\n", "4 classes"},
	        {"val/val_annotations.txt", "val_0.JPEG\tn03\n", "val_1.JPEG"},
	        {"val/val_annotations.txt", "val_0.JPEG\tn03\nval_1.JPEG\tn09\n", "n09"},
	        {"val/images/val_1.JPEG", "no image at all", "val_1.JPEG"},
	};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		struct place p = place_new();
		char *path = xformat("%s/%s", p.source, bad[i].file);

		put_tiny(&p);
		if (bad[i].text)
			put_text(&p, bad[i].file, bad[i].text);
		else
			assert_int_equal(unlink(path), 0);
		refused(request_of("tiny_imagenet", &p, SPLIT_TEST), bad[i].word);
		free(path);
		place_remove(&p);
	}
}

static void real_tiny_imagenet_has_names(void **state)
{
	char *path = real_data_or_skip(__func__, "tiny-imagenet-20.tar.xz");
	struct place p = place_new();

	struct dataset *d = open_split("tiny_imagenet", path, p.cache, SPLIT_TEST);
	assert_int_equal(d->count, 1000);
	assert_int_equal(d->classes, 20);
	assert_int_equal(d->width, 64);
	assert_string_equal(d->class_name[2], "Egyptian cat");
	dataset_free(d);
	place_remove(&p);
	free(path);
}

/* MNIST and KMNIST lie in one archive there: unpacked, each is a folder. */
static void real_digits_are_read(void **state)
{
	char *path = real_data_or_skip(__func__, "digits-ood.tar");
	struct place p = place_new();

	struct dataset_request both = request_of("idx", &p, SPLIT_TEST);
	both.source = path;
	refused(both, "kmnist/t10k", "mnist/t10k");
	char *command = xformat("mkdir -p %s && tar xf %s -C %s", p.source, path, p.source);
	assert_int_equal(system(command), 0);
	char *mnist = xformat("%s/digits-ood/mnist", p.source);
	struct dataset *d = open_split("idx", mnist, p.cache, SPLIT_TEST);
	assert_int_equal(d->count, 10000);
	assert_int_equal(d->classes, 10);
	assert_int_equal(d->width, 28);
	assert_int_equal(d->label[0], 7);
	dataset_free(d);
	free(mnist);
	free(command);
	place_remove(&p);
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(grey_is_given_three_times),
	        cmocka_unit_test(a_folder_inside_of_an_archive_is_a_source),
	        cmocka_unit_test(bad_idx_is_refused_in_one_line),
	        cmocka_unit_test(test_labels_are_among_those_of_training),
	        cmocka_unit_test(absent_and_double_idx_files_are_named),
	        cmocka_unit_test(gzip_is_unpacked_in_folders_and_archives),
	        cmocka_unit_test(tiny_imagenet_is_read_as_distributed),
	        cmocka_unit_test(bad_tiny_imagenet_is_refused_in_one_line),
	        cmocka_unit_test(real_tiny_imagenet_has_names),
	        cmocka_unit_test(real_digits_are_read),
	};

	return cmocka_run_group_tests_name("layout", tests, NULL, NULL);
}
