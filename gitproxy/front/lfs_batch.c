/*
 * lfs_batch.c - a client's batch request, and our answer to it
 *
 * Theory of operation: of the request only the direction and the pairs of id and size are kept, in fixed
 * structs; the keeper makes upstream's request from those. Our answer is made from what the keeper says
 * became of each, in the same order. Links lead to Cordon under the name that the client used, and
 * `authenticated` keeps git-lfs from asking for a password for them.
 * Fuzzed by tests/fuzz/fuzz_lfs_batch.c.
 */
#include "gitproxy/front/lfs_batch.h"

/* What people see of an object that cannot be had; git-lfs prints it with the object's id. */
static const struct { unsigned code; const char *text; } errors[LFS_RESULTS] = {
	[LFS_NONE] = { 500, "the gateway failed; see its log" },
	[LFS_MISSING] = { 404, "the server does not have this object" },
	[LFS_REFUSED] = { 403, "the server refused this object" },
	[LFS_SIZE_DIFFERS] = { 422, "lfs_object_mismatch: the server has this object with another size" },
	[LFS_TOO_LARGE] = { 413, "body_too_large: the policy does not allow an object, or so many, of this size" },
};

static bool operation(const json_t *root, bool *ret_upload)
{
	const char *text = json_string_value(json_object_get(root, "operation"));

	*ret_upload = text && !strcmp(text, "upload");
	return text && (*ret_upload || !strcmp(text, "download"));
}

/* Absent: the one that everybody has. */
static bool takes_basic(const json_t *root)
{
	const json_t *list = json_object_get(root, "transfers");
	const char *text;

	for (size_t i = 0; i < json_array_size(list); i++)
		if ((text = json_string_value(json_array_get(list, i))) && !strcmp(text, "basic"))
			return true;
	return !list;
}

static bool takes_sha256(const json_t *root)
{
	const json_t *algo = json_object_get(root, "hash_algo");
	const char *text = json_string_value(algo);

	return !algo || (text && !strcmp(text, "sha256"));
}

static enum parse read_objects(const json_t *list, struct lfs_batch *b)
{
	b->n = json_array_size(list);
	if (!b->n || b->n > LFS_BATCH_MAX)
		return PARSE_BAD;
	b->object = calloc(b->n, sizeof(*b->object));
	for (size_t i = 0; i < b->n; i++)
		if (!b->object || !lfs_json_object(json_array_get(list, i), &b->object[i]))
			return PARSE_BAD;
	return PARSE_OK;
}

enum parse lfs_batch_read(struct rd body, struct lfs_batch *ret)
{
	json_t *root = body.n <= LFS_BODY_MAX ? lfs_json_read(body) : NULL;
	struct lfs_batch b = { 0 };
	enum parse r = PARSE_BAD;

	if (root && operation(root, &b.upload) && takes_basic(root) && takes_sha256(root))
		r = read_objects(json_object_get(root, "objects"), &b);
	json_decref(root);
	if (r != PARSE_OK) {
		lfs_batch_done(&b);
		b = (struct lfs_batch){ 0 };
	}
	*ret = b;
	return r;
}

void lfs_batch_done(struct lfs_batch *b)
{
	free(b->object);
	b->object = NULL;
}

static void action(struct wr *w, const char *name, const char *base, const struct lfs_offer *o, const char *tail)
{
	wr_fmt(w, "\"%s\":{\"href\":\"%s/info/lfs/objects/", name, base);
	wr_hex(w, o->object.oid, LFS_OID);
	wr_fmt(w, "%s?link=", tail);
	wr_hex(w, o->link, LFS_LINK);
	wr_fmt(w, "\",\"expires_in\":%u}", (unsigned)o->life_s);
}

static void actions(struct wr *w, const char *base, bool upload, const struct lfs_offer *o)
{
	wr_str(w, ",\"authenticated\":true,\"actions\":{");
	action(w, upload ? "upload" : "download", base, o, "");
	if (upload) {
		wr_str(w, ",");
		action(w, "verify", base, o, "/verify");
	}
	wr_str(w, "}");
}

static void entry(struct wr *w, const char *base, bool upload, const struct lfs_offer *o)
{
	wr_str(w, "{\"oid\":\"");
	wr_hex(w, o->object.oid, LFS_OID);
	wr_fmt(w, "\",\"size\":%ju", (uintmax_t)o->object.size);
	if (o->result == LFS_LINKED)
		actions(w, base, upload, o);
	else if (o->result != LFS_THERE)
		wr_fmt(w, ",\"error\":{\"code\":%u,\"message\":\"%s\"}", errors[o->result].code,
		       errors[o->result].text);
	wr_str(w, "}");
}

void lfs_batch_write(struct wr *w, const char *base, bool upload, const struct lfs_offer *o, size_t n)
{
	wr_str(w, "{\"transfer\":\"basic\",\"hash_algo\":\"sha256\",\"objects\":[");
	for (size_t i = 0; i < n; i++) {
		if (i)
			wr_str(w, ",");
		entry(w, base, upload, &o[i]);
	}
	wr_str(w, "]}\n");
}
