// SPDX-License-Identifier: MIT
#include "switch/runtime/backend.h"

#include <algorithm>
#include <cerrno>

#include "switch/base/text.h"

namespace lanyard {

Result<BackendOptions> BackendOptions::parse(std::string_view url) {
  const std::size_t colon = url.find("://");
  if (colon == std::string_view::npos || colon == 0) {
    return Error{EINVAL, fmt::format("'{}' is not of the form KIND://TARGET", printable(url))};
  }
  std::string_view rest = url.substr(colon + 3);
  const std::size_t question = rest.find('?');
  BackendOptions options{std::string(url.substr(0, colon)), std::string(rest.substr(0, question))};
  rest = question == std::string_view::npos ? std::string_view() : rest.substr(question + 1);
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('&'), rest.size());
    const std::string_view pair = rest.substr(0, end);
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos || equals == 0) {
      return Error{EINVAL,
                   fmt::format("'{}' in '{}' is not KEY=VALUE", printable(pair), printable(url))};
    }
    options.set(std::string(pair.substr(0, equals)), std::string(pair.substr(equals + 1)));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return options;
}

const std::string* BackendOptions::find(std::string_view key) const {
  const auto at =
      std::find_if(values_.rbegin(), values_.rend(), [&](const auto& v) { return v.first == key; });
  return at == values_.rend() ? nullptr : &at->second;
}

std::vector<std::string> BackendOptions::all(std::string_view key) const {
  std::vector<std::string> found;
  for (const auto& [name, value] : values_) {
    if (name == key) found.push_back(value);
  }
  return found;
}

UniqueFd BackendOptions::take_given(const std::string& path) const {
  return given_ == nullptr ? UniqueFd() : given_->take(path);
}

Result<void> BackendOptions::check_keys(std::initializer_list<std::string_view> known) const {
  for (const auto& [name, value] : values_) {
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      std::string list;
      for (const std::string_view key : known) append(list, "{}{}", list.empty() ? "" : ", ", key);
      return Error{EINVAL,
                   fmt::format("{}: no option '{}'; there are {}", kind_, printable(name), list)};
    }
  }
  return {};
}

const Backend* BackendRegistry::find(std::string_view kind) const {
  const auto at =
      std::find_if(rows_.begin(), rows_.end(), [&](const Backend& b) { return b.kind == kind; });
  return at == rows_.end() ? nullptr : &*at;
}

Result<void> BackendRegistry::open(const BackendOptions& options, Patchbay& patchbay) const {
  if (const Backend* const backend = find(options.kind()); backend != nullptr) {
    if (before_open) before_open();
    BackendOptions with_given = options;
    with_given.set_given(given);
    return backend->open(with_given, patchbay);
  }
  std::string list;
  for (const Backend& b : rows_) append(list, "{}{}", list.empty() ? "" : ", ", b.kind);
  return Error{ENOENT, fmt::format("no backend of kind '{}'; there are {}",
                                   printable(options.kind()), list)};
}

Result<void> BackendRegistry::adopt(const HandoverPart& part, Patchbay& patchbay) const {
  const Backend* const backend = find(part.kind);
  if (backend != nullptr && backend->adopt != nullptr) return backend->adopt(part, patchbay);
  const Result<BackendOptions> options = BackendOptions::parse(part.text("url"));
  if (!options) return options.error();
  // What is opened again holds its port again, if it has to.
  if (const auto held = part.number("held_port", kPortMax)) {
    patchbay.hold(static_cast<PortId>(*held), false);
  }
  return open(options.value(), patchbay);
}

}  // namespace lanyard
