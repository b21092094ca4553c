// SPDX-License-Identifier: MIT
#include "switch/control/rpc_params.h"

#include <algorithm>
#include <cerrno>
#include <vector>

#include "switch/base/text.h"

namespace lanyard {
namespace {

std::string_view type_name(RpcType type) {
  switch (type) {
    case RpcType::string: return "a string";
    case RpcType::number: return "a whole number";
    case RpcType::boolean: return "true or false";
    case RpcType::object: return "an object";
  }
  return "a value";
}

bool has_type(const Json& value, RpcType type) {
  switch (type) {
    case RpcType::string: return value.is_string();
    case RpcType::number: return value.is_number_integer();
    case RpcType::boolean: return value.is_boolean();
    case RpcType::object: return value.is_object();
  }
  return false;
}

// Levenshtein's, over one row.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t substituted = diagonal + (a[i - 1] == b[j - 1] ? 0U : 1U);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
    }
  }
  return row.back();
}

std::string full_name(const RpcMethod& method) {
  return fmt::format("{}.{}", method.object, method.verb);
}

std::string hint(std::string_view nearest) {
  return nearest.empty() ? std::string() : fmt::format("; did you mean '{}'?", nearest);
}

}  // namespace

std::string_view nearest_word(std::string_view word, std::span<const std::string_view> known) {
  constexpr std::size_t kLongest = 64;
  if (word.size() > kLongest) return {};
  std::string_view nearest;
  std::size_t best = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const std::string_view candidate : known) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance >= best) continue;
    best = distance;
    nearest = candidate;
  }
  return nearest;
}

RpcError unknown_rpc_method(std::string_view unknown) {
  constexpr std::size_t kShown = 80;
  std::vector<std::string> names;
  for (const RpcMethod& method : rpc_methods()) names.push_back(full_name(method));
  const std::vector<std::string_view> known(names.begin(), names.end());
  return {RpcCode::method_not_found,
          fmt::format("there is no method '{}'{}", printable(unknown.substr(0, kShown)),
                      hint(nearest_word(unknown, known)))};
}

std::optional<RpcError> check_rpc_params(const RpcMethod& method, const Json& params) {
  constexpr std::size_t kShown = 80;
  for (const auto& [key, value] : params.items()) {
    const auto known = std::find_if(
        method.parameters.begin(), method.parameters.end(),
        [&name = key](const RpcParameter& parameter) { return parameter.name == name; });
    if (known == method.parameters.end()) {
      std::vector<std::string_view> names;
      for (const RpcParameter& parameter : method.parameters) names.push_back(parameter.name);
      return RpcError{RpcCode::invalid_params,
                      fmt::format("{}: no parameter '{}'{}", full_name(method),
                                  printable(std::string_view(key).substr(0, kShown)),
                                  hint(nearest_word(key, names)))};
    }
    if (!has_type(value, known->type)) {
      return RpcError{RpcCode::invalid_params,
                      fmt::format("{}: '{}' must be {}, not {}", full_name(method), key,
                                  type_name(known->type), value.type_name())};
    }
  }
  for (const RpcParameter& parameter : method.parameters) {
    if (!parameter.required || params.contains(parameter.name)) continue;
    return RpcError{
        RpcCode::invalid_params,
        fmt::format("{}: '{}' is missing: {}", full_name(method), parameter.name, parameter.help)};
  }
  return std::nullopt;
}

Result<std::int64_t> rpc_number(const Json& params, std::string_view name, std::int64_t low,
                                std::int64_t high) {
  const Json& value = params.at(std::string(name));
  // An unsigned number beyond the signed range would read as a negative one.
  const bool huge = value.is_number_unsigned() &&
                    value.get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX);
  const std::int64_t number = huge ? INT64_MAX : value.get<std::int64_t>();
  if (number < low || number > high) {
    return Error{EINVAL,
                 fmt::format("'{}' is {}, and must be {} to {}", name, value.dump(), low, high)};
  }
  return number;
}

std::string rpc_text(const Json& params, std::string_view name) {
  const auto at = params.find(std::string(name));
  return at == params.end() ? std::string() : at->get<std::string>();
}

}  // namespace lanyard
