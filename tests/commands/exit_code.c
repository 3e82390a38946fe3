/* Prints its second argument and ends with its first one as code: by returning from main, or with a third argument by
 * exit. */
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
    if (argc > 2)
        puts(argv[2]);
    int code = argc > 1 ? atoi(argv[1]) : 0;
    if (argc > 3)
        exit(code);
    return code;
}
