/* opj decodes JPEG 2000 codestreams with OpenJPEG in a loop, and prints how many and the
   seconds of processor time that this took.

	opj TIMES FILE... */
#include <openjpeg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct {
	unsigned char *data;
	size_t len, at;
} bytes;

static OPJ_SIZE_T take(void *p, OPJ_SIZE_T n, void *user) {
	bytes *b = user;
	if (b->at == b->len)
		return (OPJ_SIZE_T)-1;
	if (n > b->len - b->at)
		n = b->len - b->at;
	memcpy(p, b->data + b->at, n);
	b->at += n;
	return n;
}

static OPJ_OFF_T skip(OPJ_OFF_T n, void *user) {
	bytes *b = user;
	if (n < 0 || (size_t)n > b->len - b->at)
		return -1;
	b->at += n;
	return n;
}

static OPJ_BOOL seek(OPJ_OFF_T n, void *user) {
	bytes *b = user;
	if (n < 0 || (size_t)n > b->len)
		return OPJ_FALSE;
	b->at = n;
	return OPJ_TRUE;
}

static int decode(bytes *b) {
	opj_dparameters_t p;
	opj_image_t *image = NULL;
	opj_codec_t *c = opj_create_decompress(OPJ_CODEC_J2K);
	opj_stream_t *s = opj_stream_create(1 << 16, OPJ_TRUE);
	int ok;
	b->at = 0;
	opj_set_default_decoder_parameters(&p);
	opj_stream_set_user_data(s, b, NULL);
	opj_stream_set_user_data_length(s, b->len);
	opj_stream_set_read_function(s, take);
	opj_stream_set_skip_function(s, skip);
	opj_stream_set_seek_function(s, seek);
	ok = opj_setup_decoder(c, &p) && opj_read_header(s, c, &image) && opj_decode(c, s, image) && opj_end_decompress(c, s);
	opj_stream_destroy(s);
	opj_destroy_codec(c);
	opj_image_destroy(image);
	return ok;
}

int main(int argc, char **argv) {
	int times = argc > 2 ? atoi(argv[1]) : 0, n = 0;
	bytes *all = calloc(argc, sizeof *all);
	clock_t began;
	for (int i = 2; i < argc; i++) {
		bytes *b = &all[i];
		FILE *f = fopen(argv[i], "rb");
		if (!f || fseek(f, 0, SEEK_END) || (b->len = ftell(f)) == 0 || fseek(f, 0, SEEK_SET) || !(b->data = malloc(b->len)) || fread(b->data, 1, b->len, f) != b->len) {
			perror(argv[i]);
			return 1;
		}
		fclose(f);
	}
	began = clock();
	for (int t = 0; t < times; t++)
		for (int i = 2; i < argc; i++, n++)
			if (!decode(&all[i])) {
				fprintf(stderr, "cannot decode %s\n", argv[i]);
				return 1;
			}
	printf("%d %f\n", n, (double)(clock() - began) / CLOCKS_PER_SEC);
	return 0;
}
