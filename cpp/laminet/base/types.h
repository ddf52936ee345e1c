// The element types that the core is compiled for, one list for all explicit instantiations:
//
//   #define LAMINET_INSTANTIATE(T) template class Mlp<T>;
//   LAMINET_FOR_EACH_TYPE(LAMINET_INSTANTIATE)
//   #undef LAMINET_INSTANTIATE
#pragma once

#define LAMINET_FOR_EACH_TYPE(MACRO) \
  MACRO(float)                       \
  MACRO(double)
