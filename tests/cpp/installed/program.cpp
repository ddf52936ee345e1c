#include <laminet/laminet.h>

#include <cstdio>
#include <vector>

// program [BACK END]
int main(int argc, char** argv) {
  if (argc > 1) laminet::set_backend(argv[1]);
  const float w[] = {1.0f, -1.0f, 2.0f, 0.0f}, b[] = {0.5f, 0.0f}, x[] = {3.0f, 1.0f};
  const std::vector<laminet::DenseView<float>> layers = {
      {laminet::dense_view(w, 2, 2), b, {laminet::ActivationKind::relu}}};
  const laminet::Mlp<float> net(layers);
  float y[2];
  net.forward(laminet::dense_view(x, 1, 2), laminet::dense_view(y, 1, 2));
  std::printf("%g %g\n", y[0], y[1]);
  return y[0] == 2.5f && y[1] == 6.0f ? 0 : 1;
}
