// Everything a user of gradus needs, in one include: tensors, autograd, layers, optimizers, data, models.
#pragma once

#include "autograd/function.h"
#include "autograd/gradcheck.h"
#include "autograd/ops.h"
#include "autograd/parameter.h"
#include "autograd/variable.h"
#include "core/error.h"
#include "core/ops.h"
#include "core/parallel.h"
#include "core/random.h"
#include "core/tensor.h"
#include "layers/module.h"
#include "optim/optimizer.h"
