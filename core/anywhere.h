// Marks functions that the host and a GPU run alike.
#pragma once

#ifdef __CUDACC__
#define GRADUS_ANYWHERE __host__ __device__
#else
#define GRADUS_ANYWHERE
#endif
