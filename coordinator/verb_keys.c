/* The verb keys: makes key files, says who may speak to a coordinator, and changes that. */
#include "coordinator/verb.h"
#include "core/base/text.h"
#include "schemas/curve.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int keys_new(const struct options *o, struct error *e)
{
	struct curve_pair pair;

	if (o->words != 2)
		return error_set(e, "keys new: wants the name of the file to make");
	if (curve_new(o->word[1], &pair, e))
		return -1;
	printf("%s\nthe secret is in %s; the line above is public: `trawl keys authorize "
	       "agent|user "
	       "KEY` where the coordinator is\n",
	       pair.public, o->word[1]);
	return 0;
}

/* A file's public key, or the coordinator's and those that may speak to it. */
static int keys_show(const struct options *o, struct error *e)
{
	char public[CURVE_KEY];
	struct rows r;

	if (o->words == 2) {
		if (curve_public(o->word[1], public, e))
			return -1;
		printf("%s\n", public);
		return 0;
	}
	struct database *d = verb_database(o, e);
	if (!d)
		return -1;
	int rc = verb_query(d, &r, e,
	                    "select 'coordinator' name, 'server' role, curve key, '' state from "
	                    "coordinator where curve is not null union all select name, role, "
	                    "public, iif(revoked_ms is null, '', 'revoked') from key",
	                    0, NULL);
	if (!rc) {
		verb_print(o, &r,
		           "no keys: this coordinator has not listened beyond its machine yet");
		rows_release(&r);
	}
	database_close(d);
	return rc;
}

static int change(const struct options *o, const char *verb, cJSON *args, struct error *e)
{
	struct database *d = verb_database(o, e);
	cJSON *result = d ? database_change(d, verb, args, e) : NULL;

	if (!d)
		cJSON_Delete(args);
	database_close(d);
	cJSON_Delete(result);
	return result ? 0 : -1;
}

static int keys_authorize(const struct options *o, struct error *e)
{
	char public[CURVE_KEY];

	if (o->words < 3 || o->words > 4)
		return error_set(
		        e, "keys authorize: wants agent or user, a key or key file, and a name "
		           "if you like");
	if (curve_public(o->word[2], public, e))
		return -1;
	cJSON *args = cJSON_CreateObject();
	cJSON_AddStringToObject(args, "role", o->word[1]);
	cJSON_AddStringToObject(args, "key", public);
	if (o->words == 4)
		cJSON_AddStringToObject(args, "name", o->word[3]);
	return change(o, "authorize", args, e);
}

static int keys_revoke(const struct options *o, struct error *e)
{
	char public[CURVE_KEY];
	struct error unheard;

	if (o->words != 2)
		return error_set(e, "keys revoke: wants a key, its file or its name");
	bool is_key = curve_public(o->word[1], public, &unheard) == 0;
	cJSON *args = cJSON_CreateObject();
	cJSON_AddStringToObject(args, "key", is_key ? public : o->word[1]);
	return change(o, "revoke", args, e);
}

int verb_keys(const struct options *o, struct error *e)
{
	static const struct {
		const char *name;
		int (*run)(const struct options *o, struct error *e);
	} actions[] = {{"new", keys_new},
	               {"show", keys_show},
	               {"authorize", keys_authorize},
	               {"revoke", keys_revoke}};

	for (size_t i = 0; i < sizeof actions / sizeof *actions; i++)
		if (strcmp(o->word[0], actions[i].name) == 0)
			return actions[i].run(o, e);
	return error_set(e, "keys %s: new, show, authorize or revoke is expected", o->word[0]);
}
