#include "core/error.h"

#include <doctest/doctest.h>

#include <string>

using namespace gradus;

TEST_CASE("a text is made of strings, characters and numbers") {
  CHECK(text("a", 'b', std::string("c"), 1, uint64_t{2}, -3.5, 1e-20) == "abc12-3.51e-20");
}

TEST_CASE("an error is one line, whatever a file brings into it") {
  CHECK_THROWS_WITH_AS(fail(ErrorKind::io, "op", "the class '", "c\r\na\x1bt\x7f", "' \xc3\xa4 ", 3),
                       "[op] the class 'c??a?t?' \xc3\xa4 3", Error);
  CHECK(std::string(Error(ErrorKind::value, "a\tb").what()) == "a?b");
}
