/*
 * stamp.c - print CLOCK_MONOTONIC in nanoseconds, as near to the first instruction as main() is
 */
#include <stdio.h>
#include <time.h>

int main(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	printf("%lld\n", (long long)t.tv_sec * 1000000000ll + t.tv_nsec);
	return 0;
}
