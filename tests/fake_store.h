/* What the artifact store asks of a database, faked: one lease, by an agent with key K. */
#ifndef TESTS_FAKE_STORE_H
#define TESTS_FAKE_STORE_H
#include "core/base/hash.h"
#include "core/base/text.h"
#include <stdlib.h>
#include <string.h>

/* SQL that makes it, with trial 1 leased under this token; the caller's. */
static inline char *fake_store_sql(const char *token)
{
	char hex[SHA256_HEX];

	sha256_hex(token, strlen(token), hex);
	return xformat("create table trial(id integer primary key, state text);"
	               "create table attempt(trial integer, token_sha256 text, worker integer);"
	               "create table worker(id integer primary key, key text);"
	               "create table key(public text, revoked_ms integer);"
	               "insert into worker values (1, 'K'); insert into key values ('K', null);"
	               "insert into trial values (1, 'leased');"
	               "insert into attempt values (1, '%s', 1)",
	               hex);
}
#endif
