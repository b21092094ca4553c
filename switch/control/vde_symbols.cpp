// SPDX-License-Identifier: MIT
//
// The functions that plugins compiled for vde_switch call. Their names and parameters are that
// interface's; each hands over to the plugin that is being called at the time.
#include <sys/types.h>
#include <syslog.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>

#include "switch/control/vde_plugins.h"

namespace lanyard {
namespace {

VdePlugin* running() {
  VdePlugins* const host = VdePlugins::active();
  return host != nullptr ? host->running() : nullptr;
}

std::string formatted(const char* format, va_list arguments) {
  std::array<char, 65536> text{};
  const int size = std::vsnprintf(text.data(), text.size(), format, arguments);
  if (size < 0) return {};
  return {text.data(), std::min(static_cast<std::size_t>(size), text.size() - 1)};
}

// One line; a newline at its end is the caller's habit.
std::string_view one_line(std::string_view text) {
  while (text.ends_with('\n')) text.remove_suffix(1);
  return text;
}

LogLevel level_of(int priority) {
  switch (LOG_PRI(priority)) {
    case LOG_WARNING: return LogLevel::warning;
    case LOG_NOTICE: return LogLevel::notice;
    case LOG_INFO:
    case LOG_DEBUG: return LogLevel::info;
    default: return LogLevel::error;
  }
}

void log_line(int priority, std::string_view text) {
  VdePlugins* const host = VdePlugins::active();
  if (host == nullptr) return;
  host->environment().log.write(level_of(priority), printable(one_line(text)));
}

const Port* port_of(int number) {
  VdePlugins* const host = VdePlugins::active();
  if (host == nullptr || number < 0 || number > kPortMax) return nullptr;
  return host->environment().bridge.port(static_cast<PortId>(number));
}

}  // namespace
}  // namespace lanyard

using namespace lanyard;  // the functions below have C names

#define LANYARD_VDE_SYMBOL extern "C" __attribute__((visibility("default"), used))

LANYARD_VDE_SYMBOL void addcl(int count, VdeCommand* rows) {
  VdePlugin* const plugin = running();
  for (int i = 0; plugin != nullptr && i < count; ++i) plugin->add_command(rows[i]);
}

LANYARD_VDE_SYMBOL void delcl(int count, VdeCommand* rows) {
  VdePlugin* const plugin = running();
  for (int i = 0; plugin != nullptr && i < count; ++i) plugin->remove_command(rows[i]);
}

LANYARD_VDE_SYMBOL void adddbgcl(int count, VdeCategory* rows) {
  VdePlugin* const plugin = running();
  for (int i = 0; plugin != nullptr && i < count; ++i) plugin->add_category(rows[i]);
}

LANYARD_VDE_SYMBOL void deldbgcl(int count, VdeCategory* rows) {
  VdePlugin* const plugin = running();
  for (int i = 0; plugin != nullptr && i < count; ++i) plugin->remove_category(rows[i]);
}

LANYARD_VDE_SYMBOL void debugout(VdeCategory* category, const char* format, ...) {
  VdePlugins* const host = VdePlugins::active();
  if (host == nullptr || category == nullptr) return;
  va_list arguments;
  va_start(arguments, format);
  const std::string text = formatted(format, arguments);
  va_end(arguments);
  for (VdePlugin* plugin : host->plugins()) {
    if (plugin->tell(*category, one_line(text))) return;
  }
}

LANYARD_VDE_SYMBOL int eventout(VdeCategory* category, ...) {
  VdePlugins* const host = VdePlugins::active();
  if (host == nullptr || category == nullptr) return 0;
  int answer = 0;
  va_list arguments;
  va_start(arguments, category);
  for (VdePlugin* plugin : host->plugins()) {
    if (const int said = plugin->fire(*category, arguments); said != 0) answer = said;
  }
  va_end(arguments);
  return answer;
}

LANYARD_VDE_SYMBOL int eventadd(VdeHandler handler, const char* path, void* argument) {
  VdePlugin* const plugin = running();
  if (plugin == nullptr) return 0;
  if (handler == nullptr || path == nullptr) return EINVAL;
  return plugin->add_handler(handler, path, argument);
}

LANYARD_VDE_SYMBOL int eventdel(VdeHandler handler, const char* path, void* argument) {
  VdePlugin* const plugin = running();
  if (plugin == nullptr) return 0;
  if (handler == nullptr || path == nullptr) return EINVAL;
  return plugin->remove_handler(handler, path, argument);
}

LANYARD_VDE_SYMBOL void printoutc(std::FILE* file, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const std::string text = formatted(format, arguments);
  va_end(arguments);
  if (file == nullptr) return log_line(LOG_INFO, text);
  std::fprintf(file, "%s\n", text.c_str());
}

LANYARD_VDE_SYMBOL void printlog(int priority, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const std::string text = formatted(format, arguments);
  va_end(arguments);
  log_line(priority, text);
}

LANYARD_VDE_SYMBOL int mgmtnewfd(int fd) {
  VdePlugins* const host = VdePlugins::active();
  if (host == nullptr || !host->console_opener || fd < 0) return -1;
  host->console_opener(UniqueFd(fd));
  return 0;
}

LANYARD_VDE_SYMBOL uid_t port_user(int number) {
  const Port* const port = port_of(number);
  return port != nullptr ? port->current_user : kNoUser;
}

LANYARD_VDE_SYMBOL char* port_descr(int number, int endpoint) {
  const Port* const port = port_of(number);
  if (port == nullptr || endpoint < 0) return nullptr;
  const auto at = static_cast<std::size_t>(endpoint);
  if (at >= port->plugs().size()) return nullptr;
  std::string& text = VdePlugins::active()->next_text();
  text = printable(port->plugs()[at]->traits().description);
  return text.data();
}

LANYARD_VDE_SYMBOL unsigned int qtime() {
  VdePlugins* const host = VdePlugins::active();
  return host != nullptr ? whole_seconds(host->environment().lane.loop().now()) : 0;
}

// Timers run in the thread that everything runs in: nothing to keep apart.
LANYARD_VDE_SYMBOL void qtime_csenter() {}
LANYARD_VDE_SYMBOL void qtime_csexit() {}

LANYARD_VDE_SYMBOL unsigned int qtimer_add(time_t period, int times, void (*expired)(void*),
                                           void* argument) {
  VdePlugin* const plugin = running();
  if (plugin == nullptr) return 0;
  return static_cast<unsigned int>(
      plugin->add_timer(std::chrono::seconds(period), times, expired, argument));
}

LANYARD_VDE_SYMBOL void qtimer_del(unsigned int number) {
  if (VdePlugin* const plugin = running()) plugin->remove_timer(static_cast<int>(number));
}
