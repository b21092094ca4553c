// SPDX-License-Identifier: MIT
#include "switch/control/command.h"

#include <cerrno>
#include <cstring>

namespace lanyard {

std::optional<std::int64_t> Args::leading_number(std::string_view text) {
  std::size_t end = 0;
  if (end < text.size() && (text[end] == '-' || text[end] == '+')) ++end;
  const bool hexadecimal = text.substr(end).starts_with("0x") || text.substr(end).starts_with("0X");
  if (hexadecimal) end += 2;
  const std::string_view digits = hexadecimal ? "0123456789abcdefABCDEF" : "0123456789";
  end = std::min(text.find_first_not_of(digits, end), text.size());
  return parse_integer(text.substr(0, end));
}

std::optional<std::string_view> Args::word() {
  rest_ = trim(rest_);
  if (rest_.empty()) return std::nullopt;
  const std::size_t end = std::min(rest_.find_first_of(" \t"), rest_.size());
  const std::string_view found = rest_.substr(0, end);
  rest_ = trim(rest_.substr(end));
  return found;
}

Result<std::int64_t> Args::number(std::string_view name) {
  const std::optional<std::string_view> text = word();
  if (!text) return Error{EINVAL, fmt::format("{} is missing", name)};
  const std::optional<std::int64_t> value = leading_number(*text);
  if (!value) return Error{EINVAL, fmt::format("{}: '{}' is not a number", name, printable(*text))};
  return *value;
}

Result<std::int64_t> Args::number_in(std::string_view name, std::int64_t low, std::int64_t high) {
  Result<std::int64_t> value = number(name);
  if (value && (value.value() < low || value.value() > high)) {
    return Error{EINVAL,
                 fmt::format("{} must be {} to {}, not {}", name, low, high, value.value())};
  }
  return value;
}

const Command* CommandTable::match(std::string_view line) const {
  for (const Command& row : rows_) {
    if (row.run != nullptr && line.starts_with(row.path)) return &row;
  }
  return nullptr;
}

CommandTable::Outcome CommandTable::run(CommandContext& context, std::string_view line,
                                        Reply& reply) const {
  const Command* const found = match(line);
  if (found == nullptr) {
    return {false, Error{ENOSYS, fmt::format("no command '{}'; help lists them", printable(line))}};
  }
  Args args(line.substr(found->path.size()));
  // A copy: plugin/add and plugin/del change the table while they run.
  const Command command = *found;
  return {command.has_data, command.run(context, args, reply)};
}

void add_all_commands(CommandTable& table) {
  add_system_commands(table);
  add_plugin_commands(table);
  add_mac_commands(table);
  add_fstp_commands(table);
  add_port_commands(table);
  add_vlan_commands(table);
  add_lanyard_commands(table);
  add_guard_commands(table);
  add_spanning_tree_commands(table);
}

std::string status_line(const Result<void>& result) {
  if (result) return "1000 Success\n";
  const int code = result.error().code;
  return fmt::format("1{:03} {}\n", code, std::strerror(code));
}

}  // namespace lanyard
