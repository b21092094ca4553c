// SPDX-License-Identifier: MIT
//
// Foreign text made safe to print: what comes out has no control characters, and still says what
// went in, byte for byte.
#include <string>

#include "switch/base/text.h"
#include "tests/fuzz/plain_text.h"

namespace lanyard::fuzz {
namespace {

unsigned hex_digit(char c) {
  return static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10);
}

// What a reader concludes: \xNN is a byte. Backslashes before an x stand for half as many;
// elsewhere each is itself.
std::string understood(std::string_view shown) {
  std::string meant;
  while (!shown.empty()) {
    const std::size_t run = std::min(shown.find_first_not_of('\\'), shown.size());
    const bool before_x = run != 0 && run < shown.size() && shown[run] == 'x';
    meant.append(before_x ? run / 2 : run, '\\');
    shown.remove_prefix(run);
    if (shown.empty()) break;
    if (before_x && run % 2 == 1) {
      require(shown.size() >= 3, "a code is whole");
      meant += static_cast<char>(hex_digit(shown[1]) << 4 | hex_digit(shown[2]));
      shown.remove_prefix(3);
    } else {
      meant += shown.front();
      shown.remove_prefix(1);
    }
  }
  return meant;
}

}  // namespace
}  // namespace lanyard::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lanyard::fuzz;
  const std::string_view foreign = as_text({data, size});
  const std::string shown = lanyard::printable(foreign);
  require(is_plain(shown), "what is shown has no control characters");
  require(shown.size() <= 4 * foreign.size(), "a byte is shown as four characters at most");
  require(understood(shown) == foreign, "what is shown says what was sent");
  if (is_plain(foreign) && foreign.find('\\') == std::string_view::npos) {
    require(shown == foreign, "text without anything to escape is shown as it is");
  }

  for (const std::string_view word : lanyard::split_words(foreign)) {
    require(!word.empty() && lanyard::trim(word) == word, "a word has no blanks");
  }
  if (const auto number = lanyard::parse_integer(foreign)) {
    require(lanyard::parse_integer(fmt::format("{}", *number)) == number,
            "a number that is printed reads back as itself");
  }
  if (const auto mode = lanyard::parse_mode(foreign)) {
    require(*mode <= 07777, "a mode is one");
    require(lanyard::parse_mode(fmt::format("{:04o}", *mode)) == mode,
            "a mode that is printed reads back as itself");
  }
  return 0;
}
