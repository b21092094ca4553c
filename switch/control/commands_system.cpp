// SPDX-License-Identifier: MIT
//
// Commands about the switch as a whole, the console itself, scripts and debug streams.
#include <unistd.h>

#include <cerrno>

#include "switch/control/banner.h"
#include "switch/control/command.h"
#include "switch/control/script.h"

namespace lanyard {
namespace {

constexpr std::string_view kMenu = "============";

Result<void> ds_showinfo(CommandContext& context, Args&, Reply& reply) {
  reply.line("ctl dir {}", context.info.control_directory);
  reply.line("std mode {:04o}", context.info.control_mode);
  return {};
}

Result<void> help(CommandContext& context, Args& args, Reply& reply) {
  const auto row = [&](std::string_view path, std::string_view synopsis, std::string_view text) {
    reply.line("{:<18} {:<15} {}", path, synopsis, text);
  };
  row("COMMAND PATH", "SYNTAX", "HELP");
  row("------------", "--------------", "------------");
  for (const Command& command : context.table.rows()) {
    if (command.path.starts_with(args.rest())) row(command.path, command.synopsis, command.help);
  }
  return {};
}

// In a script these have no effect and no reply.
Result<void> logout(CommandContext& context, Args&, Reply& reply) {
  const bool ends =
      context.conversation != nullptr && context.script == nullptr && context.conversation->end();
  if (!ends) reply.silence();
  return {};
}

Result<void> shutdown(CommandContext& context, Args&, Reply& reply) {
  if (context.conversation == nullptr || context.script != nullptr) {
    reply.silence();
    return {};
  }
  context.log.notice("Shutdown from mgmt command");
  context.conversation->end();
  context.lane.loop().stop();
  return {};
}

Result<void> showinfo(CommandContext& context, Args&, Reply& reply) {
  const DaemonInfo& info = context.info;
  reply.text() += kBanner;
  reply.line("");
  reply.line("pid {} MAC {} uptime {}", ::getpid(), context.bridge.mac().text(),
             whole_seconds(context.lane.loop().now() - info.started));
  if (!info.console_path.empty()) {
    reply.line("mgmt {} perm {:04o}", info.console_path, info.console_mode);
  }
  return {};
}

Result<void> load(CommandContext& context, Args& args, Reply&) {
  if (context.conversation == nullptr) return Error{EBADF, "load works on a console only"};
  const std::string path(args.rest());
  if (context.script != nullptr) return context.script->enter(path);
  Result<std::unique_ptr<Script>> script = Script::open(context, path);
  if (!script) return script.error();
  context.conversation->run(script.take());
  return {};
}

Result<void> debug_list(CommandContext& context, Args& args, Reply& reply) {
  if (context.conversation == nullptr) return Error{EBADF, "debug works on a console only"};
  reply.line("{:<22} {:<3} {:<6} {}", "CATEGORY", "TAG", "STATUS", "HELP");
  reply.line("{:<22} {:<3} {:<6} {}", "------------", "---", "------", "----");
  const auto& categories = context.hub.categories();
  bool any = false;
  for (std::size_t i = 0; i < categories.size(); ++i) {
    if (categories[i].path.empty() || !categories[i].path.starts_with(args.rest())) continue;
    any = true;
    reply.line("{:<22} {:03o} {:<6} {}", categories[i].path, categories[i].tag,
               context.conversation->debug_categories().test(i) ? "ON" : "OFF", categories[i].help);
  }
  if (!any) return Error{ENOENT, "no such category"};
  return {};
}

// Switches every category below a path; `unchanged` is the error when all were so already.
Result<void> set_debug(CommandContext& context, std::string_view prefix, bool on, int unchanged) {
  if (context.conversation == nullptr) return Error{EBADF, "debug works on a console only"};
  DebugCategories& wanted = context.conversation->debug_categories();
  const auto& categories = context.hub.categories();
  bool any = false;
  bool changed = false;
  for (std::size_t i = 0; i < categories.size(); ++i) {
    if (categories[i].path.empty() || !categories[i].path.starts_with(prefix)) continue;
    any = true;
    changed = changed || wanted.test(i) != on;
    wanted.set(i, on);
  }
  if (!any) return Error{EINVAL, "no such category"};
  if (!changed) return Error{unchanged, on ? "enabled already" : "not enabled"};
  return {};
}

Result<void> debug_add(CommandContext& context, Args& args, Reply&) {
  return set_debug(context, args.rest(), true, EEXIST);
}

Result<void> debug_del(CommandContext& context, Args& args, Reply&) {
  return set_debug(context, args.rest(), false, ENOENT);
}

}  // namespace

void add_system_commands(CommandTable& table) {
  constexpr bool kData = true;
  table.add({"ds", kMenu, "DATA SOCKET MENU"});
  table.add({"ds/showinfo", "", "show ds info", kData, ds_showinfo});
  table.add({"help", "[arg]", "Help (limited to arg when specified)", kData, help});
  table.add({"logout", "", "logout from this mgmt terminal", false, logout});
  table.add({"shutdown", "", "shutdown of the switch", false, shutdown});
  table.add({"showinfo", "", "show switch version and info", kData, showinfo});
  table.add({"load", "path", "load a configuration script", false, load});
  table.add({"debug", kMenu, "DEBUG MENU"});
  table.add({"debug/list", "", "list debug categories", kData, debug_list});
  table.add({"debug/add", "dbgpath", "enable debug info for a given category", false, debug_add});
  table.add({"debug/del", "dbgpath", "disable debug info for a given category", false, debug_del});
}

}  // namespace lanyard
