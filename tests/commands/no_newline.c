/* Prints a line that has no end. */
#include <stdio.h>

int main(void)
{
    fputs("WARNING - half a line | a=1", stdout);
    return 1;
}
