// SPDX-License-Identifier: MIT
//
// Kinds of endpoints by name. A backend is one row: what it is called, how it is written, what it
// does, and the function that opens it. The list of rows is backend/builtin.cpp, called once by
// main: no static constructors, so the order is visible and tests choose their own list.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "switch/base/given_sockets.h"
#include "switch/base/result.h"
#include "switch/runtime/patchbay.h"
#include "switch/runtime/tap_device.h"

namespace lanyard {

class SocketDirectories;

// KIND://TARGET?KEY=VALUE&KEY=VALUE. A value; the target is not decoded.
class BackendOptions {
 public:
  static Result<BackendOptions> parse(std::string_view url);
  BackendOptions(std::string kind, std::string target)
      : kind_(std::move(kind)), target_(std::move(target)) {}

  const std::string& kind() const { return kind_; }
  const std::string& target() const { return target_; }
  void set(std::string key, std::string value) {
    values_.emplace_back(std::move(key), std::move(value));
  }
  // The last value given for `key`; nullptr when there is none.
  const std::string* find(std::string_view key) const;
  std::vector<std::string> all(std::string_view key) const;
  const std::vector<std::pair<std::string, std::string>>& values() const { return values_; }
  // A socket that listens at `path` already (given_sockets.h); empty when there is none.
  UniqueFd take_given(const std::string& path) const;
  void set_given(GivenSockets* given) { given_ = given; }
  // An error that names the first key not among `known`.
  Result<void> check_keys(std::initializer_list<std::string_view> known) const;

 private:
  std::string kind_;
  std::string target_;
  std::vector<std::pair<std::string, std::string>> values_;
  GivenSockets* given_ = nullptr;
};

struct Backend {
  std::string_view kind;      // "tap"
  std::string_view synopsis;  // "tap://NAME?port=N"
  std::string_view help;
  std::function<Result<void>(const BackendOptions& options, Patchbay& patchbay)> open;
  // Goes on with what Service::handover() told in another process; the descriptors are ours from
  // here on, also after an error. nullptr: a part of this kind says by which URL it is opened.
  std::function<Result<void>(const HandoverPart& part, Patchbay& patchbay)> adopt = nullptr;
  // The directory of the sockets that it needs to be opened and kept, when that is all it needs: so
  // a confined process can do it. nullptr, or nullopt: nobody can tell what it needs.
  std::function<std::optional<std::string>(const BackendOptions& options)> socket_directory =
      nullptr;
};

class BackendRegistry {
 public:
  void add(const Backend& backend) { rows_.push_back(backend); }
  // A kind that a plugin brought goes with it; what it has opened is the plugin host's to close.
  void remove(std::string_view kind) {
    std::erase_if(rows_, [&](const Backend& row) { return row.kind == kind; });
  }
  const Backend* find(std::string_view kind) const;
  const std::vector<Backend>& rows() const { return rows_; }
  // Finds the kind and opens it; ENOENT names the kinds there are.
  Result<void> open(const BackendOptions& options, Patchbay& patchbay) const;
  // Finds the kind and lets it go on with a part, or opens the part's URL.
  Result<void> adopt(const HandoverPart& part, Patchbay& patchbay) const;

  // Called before anything is opened: a predecessor's descriptors may still be on their way out.
  std::function<void()> before_open;
  // Where backends find sockets that listen already; null: nowhere.
  GivenSockets* given = nullptr;

 private:
  std::vector<Backend> rows_;
};

// backend/builtin.cpp: the only thing of backend/ that switch/ knows.
// `directories` makes those of VDE switches; nullptr: this process.
void register_builtin_backends(BackendRegistry& registry, const AttachTap& attach = attach_tap,
                               SocketDirectories* directories = nullptr);

}  // namespace lanyard
