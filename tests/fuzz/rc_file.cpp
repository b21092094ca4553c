// SPDX-License-Identifier: MIT
//
// A file of commands as the daemon runs it at start, with nobody to talk to.
#include <cerrno>

#include "tests/fuzz/console_world.h"

namespace lanyard::fuzz {
namespace {

// What the commands that print say of the switch that came out of it.
void check_prints(ConsoleWorld& world) {
  for (const Command& command : ConsoleWorld::table().rows()) {
    if (!command.has_data || command.path == "port/createauto") continue;
    CommandContext context = world.context();
    Reply reply;
    const CommandTable::Outcome outcome = context.table.run(context, command.path, reply);
    reply.finish();
    std::string_view text = reply.text();
    require(text.empty() || text.ends_with('\n'), "data are whole lines");
    while (!text.empty()) {
      const std::string_view line = text.substr(0, text.find('\n'));
      text.remove_prefix(line.size() + 1);
      require(line != "." && is_plain(line), "a line of data does not end its block");
    }
    require(outcome.result.ok() || is_plain(outcome.result.error().text), "errors can be printed");
  }
}

}  // namespace
}  // namespace lanyard::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace lanyard::fuzz;
  const std::string_view text = as_text({data, size});
  const MemoryFile file;
  file.write(text);
  ConsoleWorld world;
  require(world.console().run_file(file.path()), "a file that is there is run");
  const auto lines = 1 + static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
  require(world.log().lines() <= 2 * lines, "a line is complained about once");
  world.turn();
  check_prints(world);
  world.check_state();
  return 0;
}
