// SPDX-License-Identifier: MIT
#include "switch/base/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

namespace lanyard {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(ParseInteger, ReadsWholeNumbers) {
  const struct {
    std::string_view text;
    std::optional<std::int64_t> value;
  } rows[] = {
      {"0", 0},
      {"7", 7},
      {"-7", -7},
      {"+7", 7},
      {"0x10", 16},
      {"0XfF", 255},
      {"-0x10", -16},
      {"010", 10},  // not octal: the console prints port numbers with leading zeros
      {"0008", 8},
      {"9223372036854775807", 9223372036854775807},
      {"9223372036854775808", std::nullopt},
      {"99999999999999999999999", std::nullopt},
      {"", std::nullopt},
      {"-", std::nullopt},
      {"+", std::nullopt},
      {"0x", std::nullopt},
      {"--5", std::nullopt},
      {"+-5", std::nullopt},
      {"0x-5", std::nullopt},
      {"5 ", std::nullopt},
      {" 5", std::nullopt},
      {"5a", std::nullopt},
      {"0x5g", std::nullopt},
      {"1.5", std::nullopt},
      {std::string_view("5\0", 2), std::nullopt},
  };
  for (const auto& row : rows) EXPECT_EQ(parse_integer(row.text), row.value) << row.text;
}

RC_GTEST_PROP(ParseInteger, ReadsBackWhatIsPrinted, (std::int32_t value)) {
  RC_ASSERT(parse_integer(std::to_string(value)) == value);
  RC_ASSERT(parse_integer(fmt::format("{:#x}", value)) == value);
  RC_ASSERT(parse_integer(fmt::format("{:012}", value)) == value);
}

TEST(ParseMode, ReadsOctal) {
  EXPECT_EQ(parse_mode("0"), 0U);
  EXPECT_EQ(parse_mode("660"), 0660U);
  EXPECT_EQ(parse_mode("02770"), 02770U);
  EXPECT_EQ(parse_mode("7777"), 07777U);
  for (const std::string_view bad : {"", "8", "10000", "-1", "+1", "rw", "66 0", "0x1"}) {
    EXPECT_EQ(parse_mode(bad), std::nullopt) << bad;
  }
}

TEST(SplitWords, SeparatesAtBlanksAndTabs) {
  EXPECT_THAT(split_words("port/print 1"), ElementsAre("port/print", "1"));
  EXPECT_THAT(split_words(" \t a\tb  c "), ElementsAre("a", "b", "c"));
  EXPECT_THAT(split_words(""), IsEmpty());
  EXPECT_THAT(split_words(" \t "), IsEmpty());
}

TEST(Trim, TakesBlanksAndTabsFromBothEnds) {
  EXPECT_EQ(trim(" \t a b\t "), "a b");
  EXPECT_EQ(trim("\t \t"), "");
  EXPECT_EQ(trim(""), "");
}

TEST(Printable, KeepsTextAndEscapesTheRest) {
  const struct {
    std::string_view foreign;
    std::string_view shown;
  } rows[] = {
      {"alice user=root PID=1", "alice user=root PID=1"},
      {"a\nb\r", "a\\x0ab\\x0d"},
      {"\x1b[31mred", "\\x1b[31mred"},
      {std::string_view("a\0b", 3), "a\\x00b"},
      {"\x7f", "\\x7f"},
      {"\\x0a", "\\\\x0a"},  // text that looks like an escape is not taken for one
      {"DOMAIN\\user", "DOMAIN\\user"},
      {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
      {"\xe2\x82\xac", "\xe2\x82\xac"},
      {"\xf0\x9f\x90\xa7", "\xf0\x9f\x90\xa7"},
      {"\xc3", "\\xc3"},                             // cut
      {"\xc3(", "\\xc3("},                           // no continuation
      {"\xe2\x82", "\\xe2\\x82"},                    // cut after two
      {"\xc0\xaf", "\\xc0\\xaf"},                    // overlong
      {"\xe0\x80\xaf", "\\xe0\\x80\\xaf"},           // overlong
      {"\xf0\x80\x80\xaf", "\\xf0\\x80\\x80\\xaf"},  // overlong
      {"\xed\xa0\x80", "\\xed\\xa0\\x80"},           // a surrogate
      {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},  // above U+10FFFF
      {"\xff\xfe", "\\xff\\xfe"},
      {"\xc2\x9b"
       "31m",
       "\\xc2\\x9b"
       "31m"},  // C1: a terminal takes U+009B for ESC [
      {"\xc2\x80", "\\xc2\\x80"},
      {"\xc2\xa0", "\xc2\xa0"},
      {"\xe2\x80\x8b", "\\xe2\\x80\\x8b"},  // U+200B: cannot be seen
      {"\xe2\x80\xa8", "\\xe2\\x80\\xa8"},  // U+2028: a line end
      {"\xe2\x80\xae", "\\xe2\\x80\\xae"},  // U+202E: turns the direction of writing
      {"\xe2\x81\xa0", "\\xe2\\x81\\xa0"},  // U+2060: joins words
      {"\xef\xbb\xbf", "\\xef\\xbb\\xbf"},  // U+FEFF: a byte order mark
      {"\xe2\x80\x94", "\xe2\x80\x94"},     // a dash is a character like others
  };
  for (const auto& row : rows) EXPECT_EQ(printable(row.foreign), row.shown);
}

RC_GTEST_PROP(Printable, NeverLetsAControlCharacterThrough, (const std::string& foreign)) {
  for (const char c : printable(foreign)) {
    const auto byte = static_cast<unsigned char>(c);
    RC_ASSERT(byte >= 0x20 && byte != 0x7f);
  }
}

TEST(Append, FormatsBehindWhatIsThere) {
  std::string text = "port";
  append(text, " {:04} {}", 7, "up");
  EXPECT_EQ(text, "port 0007 up");
}

}  // namespace
}  // namespace lanyard
