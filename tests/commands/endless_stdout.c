/* Prints without end. */
#include <stdio.h>

int main(void)
{
    for (;;)
        puts("OK: and on and on | more=1");
}
