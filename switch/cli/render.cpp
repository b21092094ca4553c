// SPDX-License-Identifier: MIT
#include "switch/cli/render.h"

#include <algorithm>
#include <ctime>

#include "switch/base/text.h"

namespace lanyard {
namespace {

// How many columns of a terminal the text takes, near enough: a UTF-8 sequence counts once.
std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

// "3d4h", "5m12s".
std::string duration_text(std::int64_t seconds) {
  if (seconds < 0) return std::to_string(seconds) + "s";
  if (seconds < 60) return fmt::format("{}s", seconds);
  if (seconds < 3600) return fmt::format("{}m{}s", seconds / 60, seconds % 60);
  if (seconds < 86400) return fmt::format("{}h{}m", seconds / 3600, seconds / 60 % 60);
  return fmt::format("{}d{}h", seconds / 86400, seconds / 3600 % 24);
}

std::string time_text(std::int64_t seconds) {
  const std::time_t time = seconds;
  std::tm parts{};
  if (::gmtime_r(&time, &parts) == nullptr) return std::to_string(seconds);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

std::string cell_text(std::string_view key, const Json& value) {
  if (value.is_number()) {
    const double number = value.get<double>();
    if (key.ends_with("_s") && !key.ends_with("_per_s")) {
      return duration_text(static_cast<std::int64_t>(number));
    }
    const bool is_time = key == "time" || key == "expires";
    if (is_time && number > 0 && number < 4e9) return time_text(static_cast<std::int64_t>(number));
  }
  return value_text(value);
}

bool is_list_of_objects(const Json& value) {
  return value.is_array() && !value.empty() &&
         std::all_of(value.begin(), value.end(), [](const Json& row) { return row.is_object(); });
}

void put_object(std::string& out, const Json& object, std::size_t indent);

// "  name: value", with what is structured below it.
void put_member(std::string& out, const std::string& key, const Json& value, std::size_t indent,
                std::size_t key_width) {
  const std::string name = printable(key);
  append(out, "{:{}}{}:", "", indent, name);
  if (value.is_object() && !value.empty()) {
    out += '\n';
    put_object(out, value, indent + 2);
  } else if (is_list_of_objects(value)) {
    out += '\n';
    for (const Json& element : value) append(out, "{:{}}{}\n", "", indent + 2, value_text(element));
  } else {
    const std::size_t pad = key_width > width(name) ? key_width - width(name) : 0;
    append(out, "{:{}} {}\n", "", pad, cell_text(key, value));
  }
}

void put_object(std::string& out, const Json& object, std::size_t indent) {
  std::size_t key_width = 0;
  for (const auto& item : object.items()) {
    key_width = std::max(key_width, width(printable(item.key())));
  }
  for (const auto& item : object.items()) {
    put_member(out, item.key(), item.value(), indent, key_width);
  }
}

std::string place_text(const Json& problem) {
  const auto number = [&](const char* key) {
    return problem.contains(key) && problem[key].is_number() ? problem[key].get<std::int64_t>() : 0;
  };
  std::string out = value_text(problem.value("file", Json()));
  if (number("line") != 0) append(out, ":{}:{}", number("line"), number("column"));
  return out + ": " + value_text(problem.value("text", Json())) + "\n";
}

std::string warning_text(const Json& warning) {
  if (!warning.is_object()) return value_text(warning);
  const std::string network = value_text(warning.value("network", Json("")));
  return fmt::format("{}{}{}", network == "-" ? "" : "network " + network,
                     network == "-" ? "" : ": ", value_text(warning.value("text", Json())));
}

// What confines it is the kernel's word, and may not be there.
std::string process_text(const Json& process) {
  if (!process.is_object()) return value_text(process);
  return fmt::format("{} (pid {}): {}", value_text(process.value("process", Json())),
                     value_text(process.value("pid", Json())),
                     value_text(process.value("sandbox", Json())));
}

}  // namespace

std::string value_text(const Json& value) {
  if (value.is_null()) return "-";
  if (value.is_boolean()) return value.get<bool>() ? "yes" : "no";
  if (value.is_string()) {
    const std::string text = printable(value.get_ref<const std::string&>());
    return text.empty() ? "-" : text;
  }
  std::string out;
  if (value.is_array()) {
    for (const Json& element : value)
      append(out, "{}{}", out.empty() ? "" : ",", value_text(element));
    return out.empty() ? "-" : out;
  }
  if (value.is_object()) {
    for (const auto& item : value.items()) {
      append(out, "{}{}={}", out.empty() ? "" : " ", printable(item.key()),
             cell_text(item.key(), item.value()));
    }
    return out.empty() ? "-" : out;
  }
  return value.dump();
}

std::string table_text(const Json& rows, std::span<const RpcColumn> columns) {
  std::vector<std::size_t> widths;
  std::vector<bool> right;
  for (const RpcColumn& column : columns) {
    std::size_t widest = columns.size() == 1 ? 0 : width(column.title);
    bool numbers = !rows.empty();
    for (const Json& row : rows) {
      const Json value = row.value(std::string(column.key), Json());
      widest = std::max(widest, width(cell_text(column.key, value)));
      numbers = numbers && value.is_number();
    }
    widths.push_back(widest);
    right.push_back(numbers);
  }
  std::string out;
  const auto put = [&](std::size_t i, const std::string& cell) {
    const std::size_t pad = widths[i] - std::min(widths[i], width(cell));
    if (i != 0) out += "  ";
    if (right[i]) out.append(pad, ' ');
    out += cell;
    if (!right[i] && i + 1 != columns.size()) out.append(pad, ' ');
  };
  if (columns.size() > 1) {
    for (std::size_t i = 0; i < columns.size(); ++i) put(i, std::string(columns[i].title));
    out += '\n';
  }
  for (const Json& row : rows) {
    for (std::size_t i = 0; i < columns.size(); ++i) {
      put(i, cell_text(columns[i].key, row.value(std::string(columns[i].key), Json())));
    }
    out += '\n';
  }
  return out;
}

std::string result_text(const RpcMethod& method, const Json& result) {
  if (!result.is_object()) return value_text(result) + "\n";
  const std::string rows(method.rows);
  std::string out;
  if (method.object == "config" && method.verb == "dump") {
    // Written by us, and to be read back: not made printable.
    for (const char* key : {"toml", "text"}) {
      if (result.contains(key) && result[key].is_string()) return result[key].get<std::string>();
    }
  }
  if (rows == "problems" && result.contains(rows) && result[rows].is_array()) {
    for (const Json& problem : result[rows]) {
      if (problem.is_object()) out += place_text(problem);
    }
    return out.empty() ? "no problems\n" : out;
  }
  if (rows.empty() || !result.contains(rows) || !result[rows].is_array()) {
    // A single value is what was asked for: `lanyard lease address lab vm1`.
    if (result.size() == 1 && !result.begin()->is_structured()) {
      return value_text(*result.begin()) + "\n";
    }
    if (method.verb == "address" && result.contains("address")) {
      return value_text(result["address"]) + "\n";
    }
    put_object(out, result, 0);
    return out;
  }
  if (rows == "changes" && result[rows].empty()) return "nothing changes\n";
  Json objects = Json::array();
  for (const Json& row : result[rows]) {
    if (row.is_object()) objects.push_back(row);
  }
  out = table_text(objects, method.columns);
  if (result.contains("processes") && result["processes"].is_array()) {
    for (const Json& process : result["processes"])
      append(out, "process: {}\n", process_text(process));
  }
  if (result.contains("warnings") && result["warnings"].is_array()) {
    for (const Json& warning : result["warnings"])
      append(out, "warning: {}\n", warning_text(warning));
  }
  return out;
}

std::string event_text(const Json& event) {
  if (!event.is_object()) return value_text(event) + "\n";
  std::string out = cell_text("time", event.value("time", Json())) + " " +
                    value_text(event.value("kind", Json()));
  for (const auto& item : event.items()) {
    if (item.key() == "time" || item.key() == "kind") continue;
    append(out, " {}={}", printable(item.key()), cell_text(item.key(), item.value()));
  }
  return out + "\n";
}

}  // namespace lanyard
