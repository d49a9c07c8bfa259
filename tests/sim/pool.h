/* Memory for SQLite and cJSON: free pieces kept by their size, for one thread.  Debian's SQLite
 * asks malloc for everything, and the simulation does little else than SQL and JSON. */
#ifndef SIM_POOL_H
#define SIM_POOL_H
#include "core/base/text.h"
#include <cjson/cJSON.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

enum { POOL_GRAIN = 32, POOL_MOST = 1024, POOL_SLAB = 1 << 16 };

union pool_piece {
	int64_t bytes;          /* before what is in use: its size */
	union pool_piece *next; /* of what is free */
	max_align_t align;
};

static struct {
	union pool_piece *free[POOL_MOST / POOL_GRAIN + 1];
	char *slab;
	size_t left;
} pool;

static union pool_piece *pool_cut(size_t bytes)
{
	size_t all = bytes + sizeof(union pool_piece);

	if (bytes > POOL_MOST)
		return xmalloc(all);
	if (pool.left < all) {
		pool.slab = xmalloc(POOL_SLAB);
		pool.left = POOL_SLAB;
	}
	pool.left -= all;
	return (union pool_piece *)(void *)(pool.slab + pool.left);
}

static void *pool_take(size_t bytes)
{
	size_t grains = (bytes + POOL_GRAIN - 1) / POOL_GRAIN;
	union pool_piece *piece = bytes <= POOL_MOST ? pool.free[grains] : NULL;

	if (piece)
		pool.free[grains] = piece->next;
	else
		piece = pool_cut(grains * POOL_GRAIN);
	piece->bytes = (int64_t)(grains * POOL_GRAIN);
	return piece + 1;
}

static void pool_give(void *memory)
{
	union pool_piece *piece = (union pool_piece *)memory - 1;

	if (!memory)
		return;
	if (piece->bytes > POOL_MOST) {
		free(piece);
		return;
	}
	size_t grains = (size_t)piece->bytes / POOL_GRAIN;
	piece->next = pool.free[grains];
	pool.free[grains] = piece;
}

static int pool_size(void *memory)
{
	return (int)((union pool_piece *)memory - 1)->bytes;
}

static int pool_round(int bytes)
{
	return (bytes + POOL_GRAIN - 1) / POOL_GRAIN * POOL_GRAIN;
}

static void *pool_take_int(int bytes)
{
	return pool_take((size_t)bytes);
}

static void *pool_resize(void *memory, int bytes)
{
	void *copy = pool_take((size_t)bytes);
	int before = pool_size(memory);

	memcpy(copy, memory, (size_t)(before < bytes ? before : bytes));
	pool_give(memory);
	return copy;
}

static int pool_begin(void *nothing)
{
	return SQLITE_OK;
}

static void pool_end(void *nothing)
{
}

#ifdef __SANITIZE_ADDRESS__
enum { WATCHED = 1 };
#else
enum { WATCHED = 0 };
#endif

/* Before anything else asks either for memory.  A sanitizer wants to see every piece. */
static void pool_install(void)
{
	static sqlite3_mem_methods methods = {pool_take_int, pool_give,  pool_resize, pool_size,
	                                      pool_round,    pool_begin, pool_end,    NULL};

	if (WATCHED)
		return;
	sqlite3_config(SQLITE_CONFIG_MALLOC, &methods);
	cJSON_InitHooks(&(cJSON_Hooks){pool_take, pool_give});
}
#endif
