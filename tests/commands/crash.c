/* Prints a good line, and crashes. */
#include <stdio.h>

int main(void)
{
    puts("OK: all is well");
    fflush(stdout);
    __builtin_trap();
}
