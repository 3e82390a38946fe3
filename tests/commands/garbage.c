/* Prints every byte there is, many times. */
#include <stdio.h>

int main(void)
{
    for (int turn = 0; turn < 200; turn++)
        for (int byte = 255; byte >= 0; byte--)
            putchar((byte * 7 + turn) & 0xff);
    return 2;
}
