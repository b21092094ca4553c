// SPDX-License-Identifier: MIT
#include "switch/daemon/spawner_directories.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "switch/base/text.h"

namespace lanyard {
namespace {

using Kind = SpawnerRequest::Kind;

Result<SpawnerAnswer> as_answer(const Result<void>& done) {
  if (!done) return done.error();
  return SpawnerAnswer{};
}

std::string directory_of(const std::string& path) {
  return path.substr(0, path.rfind('/'));
}

Error not_claimed(const std::string& path) {
  return {EPERM, fmt::format("{} is no directory that was claimed", printable(path))};
}

}  // namespace

std::string real_directory_of(const std::string& path) {
  std::error_code ignored;
  const std::string real = std::filesystem::weakly_canonical(path, ignored).string();
  return std::filesystem::path(real.empty() ? path : real).parent_path().string();
}

bool is_below(const std::string& path, const std::string& directory) {
  return path == directory || path.starts_with(directory == "/" ? directory : directory + "/");
}

Result<SpawnerAnswer> SpawnerDirectories::perform(const SpawnerRequest& request) {
  const bool is_early =
      request.kind == Kind::allow_directories || request.kind == Kind::adopt_directory;
  if (is_early && settled_) return Error{EPERM, "nothing is adopted any more"};
  switch (request.kind) {
    case Kind::allow_directories: allowed_.push_back(request.path); return SpawnerAnswer{};
    case Kind::adopt_directory: claimed_.insert(request.path); return SpawnerAnswer{};
    case Kind::may_claim_directory: return as_answer(check(request.path));
    case Kind::claim_directory: return claim(request.path);
    case Kind::listen_in_directory: return listen(request);
    case Kind::clean_directory: return as_answer(clean(request.path, request.remove));
    default: return Error{EINVAL, "nobody does that"};
  }
}

Result<void> SpawnerDirectories::check(const std::string& path) const {
  const std::string directory = real_directory_of(path);
  const bool allowed =
      !settled_ || std::any_of(allowed_.begin(), allowed_.end(),
                               [&](const std::string& one) { return is_below(directory, one); });
  if (allowed) return {};
  return Error{EPERM, fmt::format("no socket may be in {}", printable(directory))};
}

Result<SpawnerAnswer> SpawnerDirectories::claim(const std::string& path) {
  if (Result<void> allowed = check(path); !allowed) return allowed.error();
  Result<ClaimedDirectory> claimed = maker_.claim_directory(path);
  if (!claimed) return claimed.error();
  ClaimedDirectory& one = claimed.value();
  // A link may have been put on the way meanwhile.
  if (Result<void> allowed = check(one.path); !allowed) return allowed.error();
  claimed_.insert(one.path);
  SpawnerAnswer answer;
  answer.text = std::move(one.path);
  answer.value = one.created ? 1 : 0;
  if (one.claim) answer.descriptors.push_back(std::move(one.claim));
  return answer;
}

Result<SpawnerAnswer> SpawnerDirectories::listen(const SpawnerRequest& request) {
  const std::string directory = directory_of(request.path);
  if (!claimed_.contains(directory)) return not_claimed(directory);
  const SpawnerRequest::Access& access = request.access;
  Result<UniqueFd> made =
      maker_.listen_in_directory(directory, {request.path.substr(directory.size() + 1),
                                             {access.mode, kNoUser, access.group},
                                             access.directory_mode});
  if (!made) return made.error();
  SpawnerAnswer answer;
  answer.descriptors.push_back(made.take());
  return answer;
}

Result<void> SpawnerDirectories::clean(const std::string& path, bool remove) {
  if (!claimed_.contains(path)) return not_claimed(path);
  if (remove) claimed_.erase(path);
  return maker_.clean_directory(path, remove);
}

}  // namespace lanyard
