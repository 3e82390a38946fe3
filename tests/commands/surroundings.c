/* Prints what it was given: arguments, environment, standard input, and whether it can write to the folder that is its
 * first argument. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

int main(int argc, char **argv)
{
    printf("OK: surroundings | arguments=%d environment=%d", argc - 1, environ && environ[0] ? 1 : 0);
    char line[4096];
    unsigned long bytes = 0;
    while (fgets(line, sizeof line, stdin))
        bytes += strlen(line);
    int written = 0;
    if (argc > 1) {
        char path[4096];
        snprintf(path, sizeof path, "%s/written", argv[1]);
        FILE *file = fopen(path, "w");
        written = file != NULL;
    }
    printf(" stdin=%luB written=%d\n%s\n", bytes, written, argv[0]);
    for (int argument = 1; argument < argc; argument++)
        puts(argv[argument]);
    return 0;
}
