// SPDX-License-Identifier: MIT
//
// Records of numbered fields, as bytes: each field is its number, its length and its content, and
// content may be a record again. A reader takes the fields it knows by number, in any order; what
// it does not know it skips, what is missing keeps its default. So a process and its successor
// understand each other when one of them knows more.
//
// One function says for each record which number is which member; FieldWriter and FieldReader both
// run it, so that what is written and what is read cannot differ:
//
//   template <class Archive> void fields(Archive& a, Point& p) { a(1, p.x); a(2, p.y); }
//
// The reader's input is checked like a stranger's: the process that wrote it may have been broken.
// Numbers are little-endian, of eight bytes. Any thread.
#pragma once

#include <concepts>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "switch/base/little_endian.h"
#include "switch/base/text.h"
#include "switch/base/time.h"
#include "switch/frame/mac_address.h"

namespace lanyard {

using FieldNumber = std::uint16_t;

template <typename T>
concept PlainNumber = std::integral<T> || std::is_enum_v<T>;

class FieldWriter {
 public:
  template <PlainNumber T>
  void operator()(FieldNumber field, const T& value) {
    head(field, 8);
    append_little_endian(bytes_, static_cast<std::uint64_t>(value), 8);
  }
  void operator()(FieldNumber field, const std::string& value) {
    head(field, value.size());
    bytes_ += value;
  }
  void operator()(FieldNumber field, const MacAddress& value) { (*this)(field, value.number()); }
  void operator()(FieldNumber field, const Time& value) { (*this)(field, value.count()); }
  template <typename T>
  void operator()(FieldNumber field, const std::vector<T>& values) {
    for (const T& value : values) (*this)(field, value);
  }
  template <typename T, typename Less>
  void operator()(FieldNumber field, const std::map<std::string, T, Less>& values) {
    for (const auto& [key, value] : values) {
      const std::size_t at = open(field);
      (*this)(1, key);
      (*this)(2, value);
      close(at);
    }
  }
  template <typename T>
  requires std::is_class_v<T>
  void operator()(FieldNumber field, const T& record) {
    const std::size_t at = open(field);
    fields(*this, const_cast<T&>(record));
    close(at);
  }

  std::string take() { return std::move(bytes_); }

 private:
  void head(FieldNumber field, std::size_t size) {
    append_little_endian(bytes_, field, 2);
    append_little_endian(bytes_, size, 4);
  }
  std::size_t open(FieldNumber field) {
    head(field, 0);
    return bytes_.size();
  }
  void close(std::size_t at) {
    const std::size_t size = bytes_.size() - at;
    for (std::size_t i = 0; i < 4; ++i) {
      bytes_[at - 4 + i] = static_cast<char>(size >> (8 * i) & 0xff);
    }
  }

  std::string bytes_;
};

class FieldReader {
 public:
  explicit FieldReader(std::string_view bytes, int depth = 0) : depth_(depth) {
    if (depth > kDepthMax) fail("records lie in records too deeply");
    while (!trouble_ && !bytes.empty()) split_first(bytes);
  }

  template <PlainNumber T>
  void operator()(FieldNumber field, T& value) {
    if (const auto bytes = last(field)) read(field, *bytes, value);
  }
  void operator()(FieldNumber field, std::string& value) {
    if (const auto bytes = last(field)) value = *bytes;
  }
  void operator()(FieldNumber field, MacAddress& value) {
    if (const auto bytes = last(field)) read(field, *bytes, value);
  }
  void operator()(FieldNumber field, Time& value) {
    std::int64_t count = value.count();
    (*this)(field, count);
    value = Time(count);
  }
  template <typename T>
  void operator()(FieldNumber field, std::vector<T>& values) {
    for (const auto& [number, bytes] : fields_) {
      if (number != field || trouble_) continue;
      read(field, bytes, values.emplace_back());
    }
  }
  template <typename T, typename Less>
  void operator()(FieldNumber field, std::map<std::string, T, Less>& values) {
    for (const auto& [number, bytes] : fields_) {
      if (number != field || trouble_) continue;
      std::string key;
      T value{};
      FieldReader pair(bytes, depth_ + 1);
      pair(1, key);
      pair(2, value);
      inherit(field, pair);
      values.insert_or_assign(std::move(key), std::move(value));
    }
  }
  template <typename T>
  requires std::is_class_v<T>
  void operator()(FieldNumber field, T& record) {
    if (const auto bytes = last(field)) read(field, *bytes, record);
  }

  // What is wrong with the bytes, when something is.
  const std::optional<std::string>& trouble() const { return trouble_; }

 private:
  static constexpr int kDepthMax = 12;
  static constexpr std::size_t kHeadSize = 6;

  void split_first(std::string_view& bytes) {
    if (bytes.size() < kHeadSize) return fail("a field's head is cut");
    const auto field = static_cast<FieldNumber>(number_in(bytes.substr(0, 2)));
    const std::uint64_t size = number_in(bytes.substr(2, 4));
    bytes.remove_prefix(kHeadSize);
    if (size > bytes.size()) {
      return fail(
          fmt::format("field {} has {} bytes where {} are left", field, size, bytes.size()));
    }
    fields_.emplace_back(field, bytes.substr(0, size));
    bytes.remove_prefix(size);
  }
  static std::uint64_t number_in(std::string_view bytes) {
    std::uint64_t number = 0;
    for (std::size_t i = bytes.size(); i-- > 0;) {
      number = number << 8 | static_cast<std::uint8_t>(bytes[i]);
    }
    return number;
  }
  std::optional<std::string_view> last(FieldNumber field) const {
    for (auto at = fields_.rbegin(); at != fields_.rend(); ++at) {
      if (at->first == field) return at->second;
    }
    return std::nullopt;
  }
  template <PlainNumber T>
  void read(FieldNumber field, std::string_view bytes, T& value) {
    if (bytes.size() != 8) {
      return fail(fmt::format("field {} has {} bytes and should be a number", field, bytes.size()));
    }
    const std::uint64_t number = number_in(bytes);
    if constexpr (std::is_enum_v<T>) {
      value = static_cast<T>(number);
    } else {
      value = static_cast<T>(number);
      // What does not come out as it went in is not of this type.
      if (static_cast<std::uint64_t>(value) != number) {
        fail(fmt::format("field {} holds {}, which is out of range", field, number));
      }
    }
  }
  void read(FieldNumber /*field*/, std::string_view bytes, std::string& value) { value = bytes; }
  void read(FieldNumber field, std::string_view bytes, MacAddress& value) {
    std::uint64_t number = 0;
    read(field, bytes, number);
    if (number >> 48 != 0) fail(fmt::format("field {} is no MAC address: {:x}", field, number));
    value = MacAddress::from_number(number);
  }
  template <typename T>
  requires std::is_class_v<T>
  void read(FieldNumber field, std::string_view bytes, T& record) {
    FieldReader reader(bytes, depth_ + 1);
    if (!reader.trouble_) fields(reader, record);
    inherit(field, reader);
  }
  void inherit(FieldNumber field, const FieldReader& part) {
    if (part.trouble_) fail(fmt::format("in field {}: {}", field, *part.trouble_));
  }
  void fail(std::string why) {
    if (!trouble_) trouble_ = std::move(why);
  }

  int depth_;
  std::vector<std::pair<FieldNumber, std::string_view>> fields_;
  std::optional<std::string> trouble_;
};

}  // namespace lanyard
