// SPDX-License-Identifier: MIT
//
// What a console says, which may be anybody's: read in pieces, it gives replies and lines without
// losing a byte's worth of sense, and its help becomes words to complete.
#include <algorithm>

#include "switch/cli/console_session.h"
#include "switch/cli/line_editor.h"
#include "tests/fuzz/plain_text.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lanyard;
  using namespace lanyard::fuzz;
  if (size == 0) return 0;
  const std::string_view text = as_text({data + 1, size - 1});
  const std::size_t piece = std::size_t{data[0]} + 1;
  ConsoleReader reader;
  std::size_t bytes = 0;
  for (std::size_t at = 0; at < text.size(); at += piece) {
    reader.add(text.substr(at, piece));
    if (const auto reply = reader.next()) {
      bytes += reply->text.size();
      require(reply->data.size() + reply->status.size() <= reply->text.size() + 2,
              "a reply holds its parts");
      require(reply->status.empty() == (reply->code == 0), "a code comes with its status");
    } else if (data[0] % 2 == 0) {
      bytes += reader.take_lines().size();
    }
  }
  bytes += reader.take_rest().size();
  require(bytes <= text.size(), "nothing is said that was not said");
  const auto commands = commands_in_help(text);
  for (const std::string& word : complete_command(commands, text.substr(0, 3))) {
    require(word.starts_with(text.substr(0, 3)), "a word begins as it was begun");
  }
  // The same bytes as keys.
  LineEditor editor("$ ",
                    [&](std::string_view so_far) { return complete_command(commands, so_far); });
  std::string screen;
  for (const char key : text.substr(0, 2000)) {
    const auto outcome = editor.key(static_cast<unsigned char>(key), screen);
    if (outcome == LineEditor::Outcome::line) editor.remember(editor.take());
    screen.clear();
    editor.show(screen);
    require(screen.size() < 200, "a line fits on the screen");
  }
  return 0;
}
