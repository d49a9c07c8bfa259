/* Laws of data sets: what is read from folders and archives, and what is said when it cannot be. */
#include "core/base/hash.h"
#include "tests/dataset_lab.h"

#define COUNT(a) ((int)(sizeof(a) / sizeof *(a)))
static const char *const ARCHIVES[] = {"a.tar", "a.tar.gz", "a.tar.xz", "a.zip"};

static void same(const struct dataset *a, const struct dataset *b)
{
	size_t image = (size_t)(a->channels * a->height * a->width), count = (size_t)a->count;

	assert_int_equal(a->count, b->count);
	assert_int_equal(a->classes, b->classes);
	assert_int_equal(a->height, b->height);
	assert_int_equal(a->width, b->width);
	for (int i = 0; i < a->classes; i++)
		assert_string_equal(a->class_name[i], b->class_name[i]);
	assert_memory_equal(a->label, b->label, count * sizeof *a->label);
	assert_memory_equal(a->pixels, b->pixels, count * image);
}

static void put_small_cifar10(const char *folder)
{
	static const char names[] = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\n"
	                            "ship\ntruck\n\n";

	put_cifar10(folder, "a/data_batch_3.bin", 40, 10);
	put_cifar10(folder, "z/data_batch_1.bin", 0, 30); /* base names give the order */
	put_cifar10(folder, "data_batch_2.bin", 30, 10);
	put_cifar10(folder, "test_batch.bin", 100, 10);
	put_file(folder, "batches.meta.txt", names, strlen(names));
}

/* Of both splits, whatever the archive and however deep in it the files lie. */
static void archives_equal(const char *kind, struct place *p)
{
	for (enum split split = 0; split < SPLIT_COUNT; split++) {
		struct dataset *want = open_split(kind, p->source, p->cache, split);
		for (int i = 0; i < COUNT(ARCHIVES); i++) {
			char *path = xformat("%s/%s", p->folder, ARCHIVES[i]);
			pack(p->source, i % 2 ? "./some/top/folder/" : "", path);
			struct dataset *got = open_split(kind, path, p->cache, split);
			same(want, got);
			dataset_free(got);
			free(path);
		}
		dataset_free(want);
	}
}

static void cifar10_archive_equals_folder(void **state)
{
	struct place p = place_new();

	put_small_cifar10(p.source);
	archives_equal("cifar10", &p);
	place_remove(&p);
}

static void cifar10_records_come_in_file_order(void **state)
{
	struct place p = place_new();
	uint8_t *records = cifar10_records(0, 50);

	put_small_cifar10(p.source);
	struct dataset *d = open_split("cifar10", p.source, p.cache, SPLIT_TRAIN);
	assert_int_equal(d->count, 50);
	assert_int_equal(d->classes, 10);
	assert_string_equal(d->class_name[9], "truck");
	for (int i = 0; i < 50; i++) {
		assert_int_equal(d->label[i], i % 10);
		assert_memory_equal(d->pixels + i * 3072, records + i * 3073 + 1, 3072);
	}
	dataset_free(d);
	free(records);
	place_remove(&p);
}

static void cifar100_takes_the_fine_label(void **state)
{
	struct place p = place_new();
	uint8_t record[2 * 3074] = {19, 99};

	record[3074 + 1] = 42;
	put_file(p.source, "cifar-100-binary/train.bin", record, sizeof record);
	struct dataset *d = open_split("cifar100", p.source, p.cache, SPLIT_TRAIN);
	assert_int_equal(d->count, 2);
	assert_int_equal(d->label[0], 99);
	assert_int_equal(d->label[1], 42);
	assert_string_equal(d->class_name[42], "42"); /* no names file */
	dataset_free(d);
	place_remove(&p);
}

static void every_superclass_of_cifar100_has_five_classes(void **state)
{
	const struct dataset_kind *kind = dataset_kind_find("cifar100");

	for (int i = 0; i < 100; i++) {
		int like = 0;

		for (int k = 0; k < 100; k++)
			like += strcmp(kind->group_name[i], kind->group_name[k]) == 0;
		assert_int_equal(like, 5);
	}
}

static void limit_takes_the_first(void **state)
{
	struct place p = place_new();
	struct dataset_request r = {
	        .name = "cifar10", .source = p.source, .cache = p.cache, .limit = 7};
	struct error e;
	struct dataset *d;

	put_small_cifar10(p.source);
	assert_int_equal(dataset_open(&r, &d, &e), 0);
	assert_int_equal(d->count, 7);
	dataset_free(d);
	r.limit = 1000000;
	assert_int_equal(dataset_open(&r, &d, &e), 0);
	assert_int_equal(d->count, 50);
	dataset_free(d);
	place_remove(&p);
}

static void bad_cifar_is_refused_in_one_line(void **state)
{
	struct place p = place_new();
	struct dataset_request r = {.name = "cifar10", .source = p.source, .cache = p.cache};
	uint8_t *records = cifar10_records(0, 3);

	refused(r, "source", "No such file");
	put_file(p.source, "readme.txt", "hello", 5);
	refused(r, "data_batch_*.bin", "found readme.txt", "train split");
	put_file(p.source, "data_batch_1.bin", records, 2 * 3073 + 1);
	refused(r, "data_batch_1.bin", "6147 bytes", "3073", "truncated (in record 2)");
	records[2 * 3073] = 10;
	put_file(p.source, "data_batch_1.bin", records, 3 * 3073);
	refused(r, "data_batch_1.bin", "record 2", "label 10", "0 to 9");
	put_file(p.source, "data_batch_1.bin", "", 0);
	refused(r, "data_batch_1.bin", "0 bytes");
	put_file(p.source, "data_batch_1.bin", records, 2 * 3073);
	put_file(p.source, "copy/data_batch_1.bin", records, 2 * 3073);
	refused(r, "data_batch_1.bin is there twice");
	char *copy = xformat("%s/copy", p.source);
	assert_int_equal(folder_remove(copy, NULL), 0);
	put_file(p.source, "batches.meta.txt", "one\ntwo\n", 8);
	refused(r, "batches.meta.txt", "2 names", "expected 10");
	free(copy);
	free(records);
	place_remove(&p);
}

/* Of the same size, so that only the time of change tells. */
static void changed_source_is_read_again(void **state)
{
	struct place p = place_new();

	for (int first = 0; first < 3; first++) {
		put_cifar10(p.source, "data_batch_1.bin", first, 4);
		struct dataset *d = open_split("cifar10", p.source, p.cache, SPLIT_TRAIN);
		assert_int_equal(d->label[0], first);
		dataset_free(d);
		usleep(10000); /* longer than the file system's clock ticks */
	}
	place_remove(&p);
}

static void absent_split_matters_only_when_asked_for(void **state)
{
	struct place p = place_new();
	struct dataset_request r = {.name = "cifar10", .source = p.source, .cache = p.cache};

	put_cifar10(p.source, "test_batch.bin", 0, 4);
	dataset_free(open_split("cifar10", p.source, p.cache, SPLIT_TEST));
	refused(r, "cifar10, train split", "data_batch_*.bin", "found test_batch.bin");
	place_remove(&p);
}

static void damaged_archive_is_refused_in_one_line(void **state)
{
	struct place p = place_new();
	size_t bytes;

	put_small_cifar10(p.source);
	for (int i = 0; i < COUNT(ARCHIVES); i++) {
		char *path = xformat("%s/%s", p.folder, ARCHIVES[i]);
		struct dataset_request r = {.name = "cifar10", .source = path, .cache = p.cache};
		pack(p.source, "", path);
		char *content = file_read(path, &bytes, NULL);
		put_file(p.folder, ARCHIVES[i], content, bytes / 3); /* in the middle of a file */
		refused(r, ARCHIVES[i]);
		put_file(p.folder, ARCHIVES[i], content, 100); /* in the first header */
		refused(r, ARCHIVES[i]);
		put_file(p.folder, ARCHIVES[i], "This is no archive. ", 20);
		refused(r, ARCHIVES[i], "archive");
		put_file(p.folder, ARCHIVES[i], "", 0);
		refused(r, ARCHIVES[i]);
		free(content);
		free(path);
	}
	place_remove(&p);
}

static void unknown_name_is_refused_with_the_nearest(void **state)
{
	struct dataset_request r = {.name = "cifer10"};

	refused(r, "\"cifer10\"", "cifar100, tiny_imagenet, idx, folder",
	        "did you mean \"cifar10\"");
	r.name = "cifar10";
	refused(r, "cifar10", "no folder or archive");
}

static void shapes_are_the_same_bytes_everywhere(void **state)
{
	struct place p = place_new();
	static const char *const want[SPLIT_COUNT] = {
	        "3dd1d49020b4733eb6ba921061fb297d11539e9bcc421deba5ba9a62f24f9ba9",
	        "3ccc9353cf6782a06454cd76676e96bef06542bae2858664cae3778ef0dae8e7"};
	char hex[SHA256_HEX];

	for (enum split split = 0; split < SPLIT_COUNT; split++) {
		struct dataset_request r = {
		        .name = "shapes", .cache = p.cache, .split = split, .limit = 200};
		struct error e;
		struct dataset *d;
		assert_int_equal(dataset_open(&r, &d, &e), 0);
		sha256_hex(d->pixels, 200 * 3072, hex);
		assert_string_equal(hex, want[split]);
		for (int i = 0; i < 200; i++)
			assert_int_equal(d->label[i], i % 10);
		dataset_free(d);
	}
	place_remove(&p);
}

static struct dataset *open_shapes(const char *cache, int64_t limit, int64_t seed)
{
	struct dataset_request r = {.name = "shapes", .cache = cache, .limit = limit, .seed = seed};
	struct error e;
	struct dataset *d;

	assert_int_equal(dataset_open(&r, &d, &e), 0);
	return d;
}

static void shape_depends_on_seed_and_index_alone(void **state)
{
	struct place p = place_new();
	struct dataset *few = open_shapes(p.cache, 10, 1), *many = open_shapes(p.cache, 30, 1);
	struct dataset *other = open_shapes(p.cache, 10, 2);

	assert_int_equal(few->count, 10);
	assert_int_equal(many->count, 30);
	assert_memory_equal(few->pixels, many->pixels, 10 * 3072);
	for (int i = 0; i < 10; i++)
		assert_memory_not_equal(few->pixels + i * 3072, other->pixels + i * 3072, 3072);
	dataset_free(few);
	dataset_free(many);
	dataset_free(other);
	place_remove(&p);
}

static void shapes_have_4000_and_1000_images(void **state)
{
	struct place p = place_new();
	struct dataset *train = open_split("shapes", NULL, p.cache, SPLIT_TRAIN);
	struct dataset *test = open_split("shapes", NULL, p.cache, SPLIT_TEST);

	assert_int_equal(train->count, 4000);
	assert_int_equal(test->count, 1000);
	dataset_free(train);
	dataset_free(test);
	place_remove(&p);
}

static double channel_mean(const struct dataset *d, int channel)
{
	int plane = d->height * d->width;
	double sum = 0;

	for (int64_t i = 0; i < d->count; i++)
		for (int k = 0; k < plane; k++)
			sum += d->pixels[(i * 3 + channel) * plane + k];
	return sum / 255 / (double)(d->count * plane);
}

/* Facts of the published test set: its first labels, 1000 of each class, its channel means. */
static void real_cifar10_is_what_it_is_known_to_be(void **state)
{
	static const int32_t first[8] = {3, 8, 8, 0, 6, 6, 1, 6};
	static const double mean[3] = {0.4942, 0.4851, 0.4504};
	char *path = real_data_or_skip(__func__, "cifar10-small.tar.xz");
	struct place p = place_new();

	struct dataset *d = open_split("cifar10", path, p.cache, SPLIT_TEST);
	int64_t count[10] = {0};
	assert_int_equal(d->count, 10000);
	assert_memory_equal(d->label, first, sizeof first);
	assert_string_equal(d->class_name[6], "frog");
	for (int64_t i = 0; i < d->count; i++)
		count[d->label[i]]++;
	for (int c = 0; c < 10; c++)
		assert_int_equal(count[c], 1000);
	for (int c = 0; c < 3; c++)
		assert_true(channel_mean(d, c) > mean[c] - 1e-4 &&
		            channel_mean(d, c) < mean[c] + 1e-4);
	dataset_free(d);
	place_remove(&p);
	free(path);
}

static void real_cifar100_has_fine_labels(void **state)
{
	static const int32_t first[3] = {49, 33, 72};
	char *path = real_data_or_skip(__func__, "cifar100-test.tar.xz");
	struct place p = place_new();

	struct dataset *d = open_split("cifar100", path, p.cache, SPLIT_TEST);
	assert_int_equal(d->count, 10000);
	assert_int_equal(d->classes, 100);
	assert_memory_equal(d->label, first, sizeof first);
	assert_string_equal(d->class_name[49], "mountain");
	assert_string_equal(d->group_name[49], "large_natural_outdoor_scenes");
	assert_string_equal(d->class_name[72], "seal");
	assert_string_equal(d->group_name[72], "aquatic_mammals");
	dataset_free(d);
	place_remove(&p);
	free(path);
}

/* Photographs, some of them grey, with classes from the annotations file. */
static void real_tiny_imagenet_has_50_of_each_class(void **state)
{
	char *path = real_data_or_skip(__func__, "tiny-imagenet-20.tar.xz");
	struct place p = place_new();

	struct dataset *d = open_split("folder", path, p.cache, SPLIT_TEST);
	assert_int_equal(d->count, 1000);
	assert_int_equal(d->classes, 20);
	assert_string_equal(d->class_name[0], "n01641577");
	for (int i = 0; i < 1000; i++)
		assert_int_equal(d->label[i], i % 20);
	for (int c = 0; c < 3; c++)
		assert_in_range(100 * channel_mean(d, c), 35, 55);
	dataset_free(d);
	place_remove(&p);
	free(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(cifar10_archive_equals_folder),
	        cmocka_unit_test(cifar10_records_come_in_file_order),
	        cmocka_unit_test(cifar100_takes_the_fine_label),
	        cmocka_unit_test(every_superclass_of_cifar100_has_five_classes),
	        cmocka_unit_test(limit_takes_the_first),
	        cmocka_unit_test(bad_cifar_is_refused_in_one_line),
	        cmocka_unit_test(changed_source_is_read_again),
	        cmocka_unit_test(absent_split_matters_only_when_asked_for),
	        cmocka_unit_test(damaged_archive_is_refused_in_one_line),
	        cmocka_unit_test(unknown_name_is_refused_with_the_nearest),
	        cmocka_unit_test(shapes_are_the_same_bytes_everywhere),
	        cmocka_unit_test(shape_depends_on_seed_and_index_alone),
	        cmocka_unit_test(shapes_have_4000_and_1000_images),
	        cmocka_unit_test(real_cifar10_is_what_it_is_known_to_be),
	        cmocka_unit_test(real_cifar100_has_fine_labels),
	        cmocka_unit_test(real_tiny_imagenet_has_50_of_each_class),
	};

	return cmocka_run_group_tests_name("data", tests, NULL, NULL);
}
