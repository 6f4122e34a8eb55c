// Json against nlohmann's own container, which reads and writes the same texts.
#include "core/json.h"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

#include "tests/data/temporary_folder.h"

using namespace gradus;

namespace {

std::string again(const std::string& text) { return Json::parse(text).dump(); }

std::string parse_error(const std::string& text) {
  return error_of([&] { Json::parse(text); });
}

std::string nested(size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); }

/// Equal values of both kinds, built side by side.
struct Twins {
  Json ours;
  nlohmann::ordered_json theirs;
};

class RandomValues {
 public:
  Twins value(int depth = 0) {
    switch (generator_() % (depth < 4 ? 8 : 6)) {
      case 0: return {nullptr, nullptr};
      case 1: {
        const bool b = generator_() % 2;
        return {b, b};
      }
      case 2: {
        const auto i = static_cast<int64_t>(generator_()) >> generator_() % 64;
        return {i, i};
      }
      case 3: {
        const uint64_t u = generator_();
        return {u, u};
      }
      case 4: {
        const auto x = std::bit_cast<double>(generator_());
        return {x, x};
      }
      case 5: {
        const std::string s = string();
        return {s, s};
      }
      case 6: {
        Twins pair{Json::Array(), nlohmann::ordered_json::array()};
        for (size_t n = generator_() % 4; n > 0; --n) {
          const Twins item = value(depth + 1);
          pair.ours.array().push_back(item.ours);
          pair.theirs.push_back(item.theirs);
        }
        return pair;
      }
      default: {
        Twins pair{Json::Object(), nlohmann::ordered_json::object()};
        for (size_t n = generator_() % 4; n > 0; --n) {
          const Twins member = value(depth + 1);
          const std::string key = std::to_string(n) + string();
          pair.ours.object().emplace_back(key, member.ours);
          pair.theirs[key] = member.theirs;
        }
        return pair;
      }
    }
  }

 private:
  /// Of any bytes; mostly not UTF-8.
  std::string string() {
    std::string bytes(generator_() % 12, ' ');
    for (char& c : bytes) c = static_cast<char>(generator_() % (generator_() % 2 ? 256 : 128));
    return bytes;
  }

  std::mt19937_64 generator_{1};
};

}  // namespace

TEST_CASE("a JSON value of each kind says what it is and gives what it holds") {
  CHECK(Json().is_null());
  CHECK(Json(nullptr).is_null());
  CHECK(Json(true).get<bool>());
  CHECK(Json(-3).get<int64_t>() == -3);
  CHECK(Json(3).get<uint64_t>() == 3);
  CHECK(Json(3).number() == 3);
  CHECK(Json(2.5f).get<double>() == 2.5);
  CHECK(Json("a").string() == "a");
  CHECK(Json(std::string_view("b")).get<std::string>() == "b");
  CHECK(Json(std::vector<double>{1, 2}).get<std::vector<double>>() == std::vector<double>{1, 2});
  CHECK(Json(Json::Array{1, "x"}).array()[1] == "x");
  const Json object = {{"a", 1}, {"b", {{"c", nullptr}}}};
  CHECK(object.is_object());
  CHECK(object.at("b").object()[0].first == "c");
  CHECK(object.find("c") == nullptr);
  CHECK(Json(1).find("c") == nullptr);
  CHECK(Json(std::map<std::string, int>{{"z", 1}, {"a", 2}}).dump() == R"({"a":2,"z":1})");
  for (const Json& value : {Json(), Json(false), Json(1), Json(1.5), Json("s"), Json(Json::Array()), object})
    CHECK(value.type_name() == std::string(nlohmann::json::parse(value.dump()).type_name()));
}

TEST_CASE("JSON text is read and written with its members in their order") {
  CHECK(again(R"( {"z" : [1, -2, 2.50, true, null, "x", [], {}], "a" : {"b": false}} )") ==
        R"({"z":[1,-2,2.5,true,null,"x",[],{}],"a":{"b":false}})");
  CHECK(Json::parse(R"({"a":[1,{}],"b":{}})").dump(2) == "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": {}\n}");
  CHECK(Json::parse("[1,2]").dump(0) == "[\n1,\n2\n]");
}

TEST_CASE("numbers at the edges of their types come back as they were") {
  for (const char* text : {"9007199254740993", "-9223372036854775808", "9223372036854775807", "9223372036854775808",
                           "18446744073709551615", "1e+308", "-0.0", "5e-324", "2.2250738585072014e-308", "1.0", "0.1"})
    CHECK(again(text) == text);
  CHECK(Json(INT64_MIN).get<int64_t>() == INT64_MIN);
  CHECK(Json(UINT64_MAX).get<uint64_t>() == UINT64_MAX);
  CHECK(Json(9007199254740993).dump() == "9007199254740993");
  CHECK(std::signbit(Json::parse("-0.0").number()));
  CHECK(again("18446744073709551616") == "1.8446744073709552e+19");
  for (double value : {NAN, INFINITY, -INFINITY}) CHECK(Json(value).dump() == "null");
  CHECK(contains(parse_error("[1e309]"), "number overflow parsing '1e309'"));
}

TEST_CASE("numbers are equal by value, whatever their types") {
  CHECK(Json::parse("2") == 2.0);
  CHECK(Json::parse("9223372036854775808") == 9223372036854775808.0);
  CHECK(Json(INT64_MAX) != Json(uint64_t{1} << 63));
  CHECK(Json(-1) != Json(UINT64_MAX));
  CHECK(Json(1) != Json(true));
  CHECK(Json("1") != Json(1));
  CHECK(Json::parse(R"([1,{"a":2.0}])") == Json::parse(R"([1.0,{"a":2}])"));
}

TEST_CASE("strings keep every character, and what must be escaped is") {
  const Json value = Json::parse(R"(["\u00e9\ud83d\ude00\/\b", "é"])");
  CHECK(value.array()[0] == "\xc3\xa9\xf0\x9f\x98\x80/\b");
  CHECK(value.array()[1] == "\xc3\xa9");
  const std::string special("\"\\\n\t\x01\0\x7f\xc3\xa9", 9);
  CHECK(Json(special).dump() == "\"\\\"\\\\\\n\\t\\u0001\\u0000\x7f\xc3\xa9\"");
  CHECK(Json::parse(Json(special).dump()) == special);
}

TEST_CASE("bytes that are not UTF-8 are replaced, or rejected with their place") {
  const Json value = {{"a\xff", 1}};
  CHECK(value.dump() == "{\"a\xef\xbf\xbd\":1}");
  CHECK_THROWS_WITH_AS(value.dump(-1, Json::Invalid::reject),
                       "[json.exception.type_error.316] invalid UTF-8 byte at index 1: 0xFF", JsonError);
  CHECK(Json("\xc3\xa9").dump(-1, Json::Invalid::reject) == "\"\xc3\xa9\"");
  CHECK(contains(parse_error("\"a\xff\""), "invalid string: ill-formed UTF-8 byte"));
}

TEST_CASE("text that is no JSON is rejected with line, column and what is wrong") {
  CHECK(contains(parse_error("{\"a\": 1,\n \"b\": }"), "parse error at line 2, column 7: syntax error"));
  CHECK(contains(parse_error(""), "line 1, column 1"));
  CHECK(contains(parse_error("{} x"), "line 1, column 4"));
  CHECK(contains(parse_error("[1,]"), "unexpected ']'"));
  CHECK(contains(parse_error("nan"), "invalid literal"));
  CHECK(contains(parse_error(std::string("{}\0", 3)), "[json] parse error: byte 3 is NUL"));
  CHECK(contains(parse_error(std::string("[1]\0 and more", 13)), "byte 4 is NUL"));
  CHECK(Json::parse_or_null("{").is_null());
  CHECK(Json::parse_or_null("[1]") == Json::Array{1});
}

TEST_CASE("a message is one line, however long or odd the text that it shows") {
  const std::string word(100000, 'x');
  const auto is_fine = [](const std::string& message) { return message.size() < 400 && !contains(message, "\x7f"); };
  CHECK(is_fine(parse_error("\"" + word)));
  CHECK(contains(parse_error("[1, \"" + word), "line 1, column 100006"));
  CHECK(contains(parse_error("[1, \"" + word), "missing closing quote"));
  CHECK(is_fine(parse_error("[1 \x7f]")));
  CHECK(is_fine(parse_error("{\"" + word + "\":1,\"" + word + "\":2}")));
  CHECK(is_fine(error_of([&] { Json(word).number(); })));
  CHECK(is_fine(error_of([&] { Json({{"a", 1}}).at(word); })));
}

TEST_CASE("a key that an object has twice is an error, also deep inside") {
  CHECK_THROWS_WITH_AS(Json::parse(R"({"b\"":1,"a":2,"b\"":3})"), R"([json] an object has the key "b\"" twice)",
                       RepeatedKey);
  CHECK(contains(parse_error(R"([{"x":{"a":1,"c":2,"a":1}}])"), "the key \"a\" twice"));
  CHECK(again(R"([{"a":{"a":1}},{"a":1}])") == R"([{"a":{"a":1}},{"a":1}])");
}

TEST_CASE("nesting that would overflow the stack is an error") {
  CHECK(again(nested(128)) == nested(128));
  CHECK(contains(parse_error(nested(129)), "more than 128 arrays and objects"));
  CHECK(contains(parse_error(std::string(10'000'000, '[')), "more than 128 arrays and objects"));
}

TEST_CASE("a JSON value of another type than asked for is an error that shows it") {
  CHECK_THROWS_WITH_AS(Json(1.5).get<int64_t>(), "[json] an integer below 2^63 was expected, not 1.5", JsonError);
  CHECK_THROWS_WITH_AS(Json(UINT64_MAX).get<int64_t>(),
                       "[json] an integer below 2^63 was expected, not 18446744073709551615", JsonError);
  CHECK_THROWS_WITH_AS(Json(-1).get<uint64_t>(), "[json] a non-negative integer was expected, not -1", JsonError);
  CHECK_THROWS_WITH_AS(Json(1).get<bool>(), "[json] true or false was expected, not 1", JsonError);
  CHECK_THROWS_WITH_AS(Json("x").number(), "[json] a number was expected, not \"x\"", JsonError);
  CHECK_THROWS_WITH_AS(Json().string(), "[json] a string was expected, not null", JsonError);
  CHECK_THROWS_WITH_AS(Json(true).array(), "[json] an array was expected, not true", JsonError);
  CHECK_THROWS_WITH_AS(Json(Json::Array()).at("a"), "[json] an object was expected, not an array", JsonError);
  CHECK_THROWS_WITH_AS(Json(Json::Object()).at("a"), "[json] there is no \"a\"", JsonError);
  CHECK_THROWS_AS(Json::parse("[1,null]").get<std::vector<double>>(), JsonError);
}

TEST_CASE("random JSON values are written as nlohmann writes them, and come back") {
  RandomValues random;
  for (int i = 0; i < 3000; ++i) {
    const auto [ours, theirs] = random.value();
    const auto replace = nlohmann::json::error_handler_t::replace;
    const std::string text = ours.dump();
    REQUIRE(text == theirs.dump(-1, ' ', false, replace));
    REQUIRE(ours.dump(3) == theirs.dump(3, ' ', false, replace));
    REQUIRE(again(text) == text);
    REQUIRE(Json::parse(ours.dump(1)) == Json::parse(text));
  }
}
