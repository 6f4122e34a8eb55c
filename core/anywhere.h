// Marks functions that the host and a GPU run alike, and loops whose arrays a GPU shall keep in registers.
#pragma once

#ifdef __CUDACC__
#define GRADUS_ANYWHERE __host__ __device__
#define GRADUS_UNROLL _Pragma("unroll")
#else
#define GRADUS_ANYWHERE
#define GRADUS_UNROLL
#endif
