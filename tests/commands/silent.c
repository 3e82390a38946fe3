/* Says what it wants on standard error, and nothing else. */
#include <stdio.h>

int main(void)
{
    fputs("usage: silent -H HOST\n", stderr);
    return 3;
}
