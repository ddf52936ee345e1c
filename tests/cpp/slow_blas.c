// A BLAS that takes its time to load, as one on a slow disk does, and says when it has begun. It
// multiplies nothing.
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((constructor)) static void begin(void) {
  const char* fd = getenv("LAMINET_TEST_SLOW_BLAS_FD");
  if (fd && write(atoi(fd), "x", 1) != 1) abort();
  usleep(300000);
  // As OpenBLAS does: in some C libraries this waits for the end of a fork under way.
  pthread_atfork(0, 0, 0);
}

void cblas_sgemm(void) {}
void cblas_dgemm(void) {}
void cblas_sgemv(void) {}
void cblas_dgemv(void) {}
float cblas_sdot(int n, const float* x, int step_x, const float* y, int step_y) {
  float sum = 0;
  for (int i = 0; i < n; ++i) sum += x[i * step_x] * y[i * step_y];
  return sum;
}
