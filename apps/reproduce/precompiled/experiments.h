// What most experiments include, compiled once. Every file includes what it needs all the same.
#include <algorithm>
#include <cmath>
#include <vector>

#include "apps/reproduce/experiment.h"
#include "apps/reproduce/protocols.h"
#include "apps/reproduce/statistics.h"
#include "core/error.h"
#include "layers/container.h"
#include "layers/linear.h"
