/* check_file_age: how old is a file, and how large?
 *
 *   check_file_age -w SECONDS -c SECONDS [-m BYTES] FILE
 *
 * An ordinary plugin in C, as it would be written for Nagios: nothing in it knows of Picket. Compiled for WASI preview1, it
 * is a checker:
 *
 *   clang --target=wasm32-wasi -Os -o check_file_age.wasm check_file_age.c
 *
 * Exit codes and output follow the Nagios plugin development guidelines.
 */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum state { OK, WARNING, CRITICAL, UNKNOWN };

static const char *const WORDS[] = {"OK", "WARNING", "CRITICAL", "UNKNOWN"};

/* The checker's version, where agent-host looks for it. */
#ifdef __wasm__
__asm__(".section .custom_section.version,\"\",@\n.ascii \"1.0.0\"\n.text\n");
#endif

static int usage(const char *problem)
{
    printf("FILE_AGE UNKNOWN: %s; usage: check_file_age -w SECONDS -c SECONDS [-m BYTES] FILE\n", problem);
    return UNKNOWN;
}

/* A number of seconds or bytes; -1 where it is none. */
static long long number(const char *text)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    return *text == '\0' || *end != '\0' || errno != 0 || value < 0 ? -1 : value;
}

int main(int argc, char **argv)
{
    long long warning = -1, critical = -1, least = 0;
    int option;
    while ((option = getopt(argc, argv, "w:c:m:")) != -1) {
        switch (option) {
        case 'w': warning = number(optarg); break;
        case 'c': critical = number(optarg); break;
        case 'm': least = number(optarg); break;
        default: return usage("an unknown option");
        }
    }
    if (warning < 0 || critical < 0 || least < 0)
        return usage("-w and -c take a number of seconds, -m one of bytes");
    if (optind != argc - 1)
        return usage("one file is expected");

    const char *file = argv[optind];
    struct stat status;
    if (stat(file, &status) != 0) {
        printf("FILE_AGE CRITICAL: %s: %s\n", file, strerror(errno));
        return CRITICAL;
    }
    long long age = (long long)time(NULL) - (long long)status.st_mtime;
    if (age < 0)
        age = 0;
    long long size = (long long)status.st_size;

    enum state state = age > critical || size < least ? CRITICAL : age > warning ? WARNING : OK;
    printf("FILE_AGE %s: %s is %lld seconds old and has %lld bytes | age=%llds;%lld;%lld;0 size=%lldB;;%lld:;0\n",
           WORDS[state], file, age, size, age, warning, critical, size, least);
    return state;
}
