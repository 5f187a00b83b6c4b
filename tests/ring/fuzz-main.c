/*
 * Runs a fuzz target without libFuzzer: files of a corpus, or random bytes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <errno.h>
#include "fuzz-ring.h"

#define MAX_INPUT 4096u

static void run_file(const char *path)
{
    static uint8_t data[1 << 20];
    FILE *f = fopen(path, "rb");
    size_t n;

    if (!f) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        exit(1);
    }
    n = fread(data, 1, sizeof(data), f);
    fclose(f);
    LLVMFuzzerTestOneInput(data, n);
}

static void run_random(unsigned long runs, uint64_t seed)
{
    uint8_t data[MAX_INPUT];
    uint64_t x = seed * 0x9e3779b97f4a7c15ULL + 1;

    for (unsigned long i = 0; i < runs; i++) {
        size_t size;

        for (size_t j = 0; j < MAX_INPUT; j += 8) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            memcpy(data + j, &x, 8);
        }
        size = 2 + (x >> 8) % (x & 1 ? 64 : MAX_INPUT - 2);
        LLVMFuzzerTestOneInput(data, size);
    }
    printf("%lu random inputs, seed %llu\n", runs,
           (unsigned long long)seed);
}

int main(int argc, char **argv)
{
    unsigned long runs, seed;

    if (argc == 4 && !strcmp(argv[1], "--random") &&
        sscanf(argv[2], "%lu", &runs) == 1 &&
        sscanf(argv[3], "%lu", &seed) == 1) {
        run_random(runs, seed);
        return 0;
    }
    if (argc < 2 || argv[1][0] == '-') {
        fprintf(stderr, "usage: %s FILE... | --random RUNS SEED\n"
                "With clang the same target is built with libFuzzer.\n",
                argv[0]);
        return 2;
    }
    for (int i = 1; i < argc; i++) {
        run_file(argv[i]);
    }
    return 0;
}
