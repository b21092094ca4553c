// SPDX-License-Identifier: MIT
//
// Commands that load, list and unload plugins.
#include <cerrno>

#include "switch/control/plugin_host.h"

namespace lanyard {
namespace {

Error no_plugins_here() {
  return {ENOSYS, "plugins cannot be loaded here"};
}

Result<void> list(CommandContext& context, Args& args, Reply& reply) {
  if (context.plugins == nullptr) return no_plugins_here();
  reply.line("{:<22} {}", "NAME", "HELP");
  reply.line("{:<22} {}", "------------", "----");
  bool any = false;
  for (const auto& plugin : context.plugins->plugins()) {
    if (!std::string_view(plugin->name()).starts_with(args.rest())) continue;
    reply.line("{:<22} {}", plugin->name(), plugin->help());
    any = true;
  }
  if (!any) return Error{ENOENT, "no such plugin is loaded"};
  return {};
}

Result<void> add(CommandContext& context, Args& args, Reply&) {
  if (context.plugins == nullptr) return no_plugins_here();
  Result<void> added = context.plugins->add(args.rest());
  // The console's reply has only the code.
  if (!added) context.log.error("plugin/add: {}", added.error().text);
  return added;
}

Result<void> remove(CommandContext& context, Args& args, Reply&) {
  if (context.plugins == nullptr) return no_plugins_here();
  return context.plugins->remove(args.rest());
}

}  // namespace

void add_plugin_commands(CommandTable& table) {
  constexpr bool kData = true;
  table.add({"plugin", "============", "PLUGINS MENU"});
  table.add({"plugin/list", "", "list plugins", kData, list});
  table.add({"plugin/add", "library", "load a plugin", false, add});
  table.add({"plugin/del", "name", "unload a plugin", false, remove});
}

}  // namespace lanyard
