// The op table: one row per differentiable operation of autograd/ops.h and way of calling it. What is checked for one
// row is checked for all: see op_table_test.cpp.
#pragma once

#include <string>
#include <vector>

#include "autograd/gradcheck.h"
#include "core/shape.h"

namespace gradus::testing {

/// Where a row's inputs are drawn from. All elements of all inputs are distinct, so that an extremum has no ties.
struct Domain {
  double low = -1, high = 1;
  std::vector<double> kinks = {};  ///< points that no element comes near: the operation has no derivative there
};

struct OpRow {
  std::string name;               ///< the function's name, and in parentheses what is special about this row
  VarFunction f;                  ///< for any floating dtype and for each of the shapes below
  std::vector<Shape> shapes;      ///< of the inputs
  std::vector<Shape> ones = {};   ///< with extents of 1
  std::vector<Shape> empty = {};  ///< without elements; none where the operation refuses that
  Domain domain = {};
};

const std::vector<OpRow>& op_table();

}  // namespace gradus::testing
