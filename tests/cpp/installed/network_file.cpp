#include <laminet/laminet.h>

#include <cstdio>
#include <exception>
#include <iostream>
#include <vector>

// network_file NET.safetensors: reads samples from standard input, and writes a line for each.
int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: network_file NET.safetensors\n");
    return 2;
  }
  try {
    const auto net = laminet::load<float>(argv[1]);  // what net.save wrote in Python
    std::vector<float> x(net->in_features()), y(net->out_features());
    net->prepare(1);  // or the first call does it
    for (;;) {
      for (float& value : x) {
        if (!(std::cin >> value)) return 0;
      }
      net->forward(laminet::dense_view(x.data(), 1, x.size()),
                   laminet::dense_view(y.data(), 1, y.size()));
      for (const float value : y) std::printf("%.9g ", value);
      std::printf("\n");
    }
  } catch (const laminet::FormatError& error) {  // a damaged file, or one of float64
    std::fprintf(stderr, "%s: %s\n", argv[1], error.what());
  } catch (const std::exception& error) {  // it is not there, or cannot be read
    std::fprintf(stderr, "%s\n", error.what());
  }
  return 1;
}
