// SPDX-License-Identifier: MIT
#include "backend/gateway/resolver_list.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

#include "switch/base/fd.h"
#include "switch/base/text.h"

namespace lanyard {
namespace {

constexpr std::size_t kFileSizeMax = 65536;
constexpr std::size_t kZoneSizeMax = 15;  // IFNAMSIZ less its NUL

bool is_zone(std::string_view text) {
  return !text.empty() && text.size() <= kZoneSizeMax &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return c > ' ' && c < '\x7f' && c != '/' && c != '%'; });
}

// 'timeout:3', within what is sensible; the old value when it is not a number.
std::uint32_t bounded(std::string_view number, std::uint32_t old) {
  const auto value = parse_integer(number);
  if (!value) return old;
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(*value, 1, 5));
}

void add(ResolverList& list, ResolverAddress resolver) {
  const auto& known = list.addresses;
  if (known.size() >= ResolverList::kResolversMax) return;
  if (std::find(known.begin(), known.end(), resolver) != known.end()) return;
  list.addresses.push_back(std::move(resolver));
}

void read_options(ResolverList& list, const std::vector<std::string_view>& words) {
  constexpr std::string_view kTimeout = "timeout:";
  constexpr std::string_view kAttempts = "attempts:";
  for (const std::string_view word : words) {
    if (word.starts_with(kTimeout)) {
      list.timeout_s = bounded(word.substr(kTimeout.size()), list.timeout_s);
    } else if (word.starts_with(kAttempts)) {
      list.rounds = bounded(word.substr(kAttempts.size()), list.rounds);
    } else if (word == "rotate") {
      list.rotate = true;
    }
  }
}

bool same(const timespec& a, const timespec& b) {
  return a.tv_sec == b.tv_sec && a.tv_nsec == b.tv_nsec;
}

// Whether a file with these times may change once more without getting others.
bool is_fresh(const timespec& modified) {
  timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  const auto age_s = now.tv_sec - modified.tv_sec;
  return age_s >= 0 && age_s < 2;
}

Result<std::string> read_text(int fd) {
  std::string text(kFileSizeMax, '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t got =
        ::pread(fd, text.data() + size, text.size() - size, static_cast<off_t>(size));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Error{errno, std::strerror(errno)};
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  text.resize(size);
  return text;
}

}  // namespace

std::optional<ResolverAddress> ResolverAddress::parse(std::string_view text) {
  ResolverAddress resolver;
  if (const std::size_t hash = text.find('#'); hash != std::string_view::npos) {
    const auto port = parse_integer(text.substr(hash + 1));
    if (!port || *port < 1 || *port > 65535) return std::nullopt;
    resolver.port = static_cast<std::uint16_t>(*port);
    text = text.substr(0, hash);
  }
  if (const std::size_t percent = text.find('%'); percent != std::string_view::npos) {
    const std::string_view zone = text.substr(percent + 1);
    if (!is_zone(zone)) return std::nullopt;
    resolver.zone = zone;
    text = text.substr(0, percent);
  }
  const auto address = IpAddress::parse(text);
  if (!address || (!resolver.zone.empty() && address->is_v4())) return std::nullopt;
  if (address->is_v4() ? address->v4().is_multicast() || address->v4().is_broadcast()
                       : address->v6().is_multicast()) {
    return std::nullopt;
  }
  resolver.address = *address;
  return resolver;
}

std::string ResolverAddress::text() const {
  std::string text = address.text();
  if (!zone.empty()) append(text, "%{}", zone);
  if (port != 53) append(text, "#{}", port);
  return text;
}

ResolverList parse_resolv_conf(std::string_view text) {
  ResolverList list;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.starts_with('#') || line.starts_with(';')) continue;
    const std::vector<std::string_view> words = split_words(line);
    if (words.size() < 2) continue;
    if (words[0] == "nameserver") {
      // '#' begins no port here, as in no other program.
      if (words[1].find('#') != std::string_view::npos) continue;
      if (auto resolver = ResolverAddress::parse(words[1])) add(list, std::move(*resolver));
    } else if (words[0] == "options") {
      read_options(list, words);
    }
  }
  return list;
}

Result<ResolverList> parse_upstream(const std::vector<std::string>& upstream) {
  ResolverList list;
  for (const std::string& text : upstream) {
    auto resolver = ResolverAddress::parse(text);
    if (!resolver) {
      return Error{EINVAL, fmt::format("'{}' is not the address of a resolver; write an IPv4 or "
                                       "IPv6 address, with #PORT behind for another port than 53",
                                       printable(text))};
    }
    add(list, std::move(*resolver));
  }
  return list;
}

bool ResolverFile::Stamp::operator==(const Stamp& other) const {
  return device == other.device && inode == other.inode && size == other.size &&
         same(modified, other.modified) && same(changed, other.changed);
}

bool ResolverFile::refresh() {
  struct stat info {};
  const bool found = ::stat(path_.c_str(), &info) == 0;
  const int stat_error = errno;
  if (!found) {
    problem_ = fmt::format("{}: {}", path_, std::strerror(stat_error));
    stamp_.reset();
    const bool changed = !list_.addresses.empty();
    list_ = {};
    return changed;
  }
  const Stamp stamp{info.st_dev, info.st_ino, info.st_size, info.st_mtim, info.st_ctim};
  if (stamp_ == stamp && settled_) return false;
  settled_ = !is_fresh(info.st_mtim) && !is_fresh(info.st_ctim);
  stamp_ = stamp;
  // Not waiting for a writer, should somebody have put a pipe there.
  const UniqueFd fd(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  Result<std::string> text =
      fd ? read_text(fd.get()) : Result<std::string>(Error{errno, std::strerror(errno)});
  ResolverList list = text ? parse_resolv_conf(text.value()) : ResolverList{};
  problem_.clear();
  if (!text) {
    problem_ = fmt::format("{}: {}", path_, text.error().text);
  } else if (list.addresses.empty()) {
    // Somebody may be about to fill it.
    if (!settled_ && !list_.addresses.empty()) return false;
    problem_ = fmt::format("{} names no resolver", path_);
  }
  if (list == list_) return false;
  list_ = std::move(list);
  return true;
}

}  // namespace lanyard
