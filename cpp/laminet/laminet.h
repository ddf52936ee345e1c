// The public C++ interface of laminet.
//
//   #include <laminet/laminet.h>
//
//   std::vector<laminet::DenseView<float>> layers = ...;     // views of your weights
//   const laminet::Mlp<float> net(layers);                   // copied once
//   net.forward(laminet::dense_view(x, batch, net.in_features()),
//               laminet::dense_view(y, batch, net.out_features()));
//
// load<float>(path) makes one of a file that the Python half saved.
//
// The first call packs the weights, starts threads and asks for memory; net.prepare(batch), and
// Derivatives::prepare(batch), do so before it, as a control loop wants it. What copies of the
// weights take, bytes() of both tell.
//
// Errors are exceptions: std::invalid_argument for wrong shapes and values, std::runtime_error for
// what this machine does not have, FormatError (also a runtime_error) for files, std::bad_alloc.
#pragma once

#include "laminet/base/matrix.h"            // views
#include "laminet/base/thread_count.h"      // set_num_threads
#include "laminet/base/version.h"           // LAMINET_VERSION
#include "laminet/files/load.h"             // load
#include "laminet/gemm/backend.h"           // set_backend
#include "laminet/gradients/derivatives.h"  // Jacobians, vjp, jvp, gradients
#include "laminet/kernels/activation.h"     // Activation
#include "laminet/kernels/dispatch.h"       // the instruction set in use
#include "laminet/network/linear.h"         // linear
#include "laminet/network/mlp.h"            // Mlp, Head
#include "laminet/training/trainer.h"       // Trainer
