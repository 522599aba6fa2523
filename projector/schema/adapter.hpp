/* Our JSON tree as libvalijson wants to see one; schema/valijson.cpp alone includes it, and says what is shown of
 * a schema and what is not. The names stand in an unnamed namespace, since they are that file's. */
#ifndef DBK_PROJECTOR_JSON_SCHEMA_ADAPTER_HPP
#define DBK_PROJECTOR_JSON_SCHEMA_ADAPTER_HPP

#include <cstring>
#include <new>
#include <string>
#include <utility>

#define VALIJSON_USE_EXCEPTIONS 1 /* else it ends the process where it would throw */
#define _Static_assert static_assert
extern "C" {
#include "projector/schema/internal.h"
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wextra"
#pragma GCC diagnostic ignored "-Wdouble-promotion"
#pragma GCC diagnostic ignored "-Wcast-align"
#pragma GCC diagnostic ignored "-Wundef"
#include <valijson/constraint_builder.hpp>
#include <valijson/constraints/concrete_constraints.hpp>
#include <valijson/constraints/constraint_visitor.hpp>
#include <valijson/internal/basic_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>

namespace
{

namespace adapters = valijson::adapters;
namespace constraints = valijson::constraints;
using valijson::Subschema;

/* ---- our tree, as the library wants to see one */

struct Node {
    const dbk_json_schema *schema;
    const dbk_json_node *node; /* nullptr: the virtual object {"$ref": "#/@target"}, or its text */
    uint32_t target;
    bool text; /* of the virtual one: the text of its $ref */
};

bool is_kind(const Node &n, dbk_json_kind kind)
{
    return n.node && n.node->kind == kind;
}

const dbk_json_node *member(const dbk_json_node *object, const std::string &name)
{
    const dbk_json_node *child = dbk_json_child(object);
    for (uint32_t i = 0; i < object->count; i++, child = dbk_json_next(child))
        if (child->name.size == name.size() && std::memcmp(child->name.data, name.data(), name.size()) == 0)
            return child;
    return nullptr;
}

const uint32_t no_target = UINT32_MAX;

uint32_t target_of(const dbk_json_schema *schema, const dbk_json_node *node)
{
    size_t low = 0, high = schema->ref_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (schema->refs[middle].from == node) return schema->refs[middle].target;
        if (schema->refs[middle].from < node) low = middle + 1;
        else high = middle;
    }
    return no_target;
}

uint32_t target_number(const dbk_json_schema *schema, const dbk_json_node *node)
{
    for (size_t i = 0; i < schema->target_count; i++)
        if (schema->targets[i] == node) return static_cast<uint32_t>(i);
    return no_target;
}

class Adapter;
typedef std::pair<std::string, Adapter> Member;

/* A place among the children of a node. */
template <class Value> class Place
{
  public:
    using iterator_category = std::forward_iterator_tag;
    using value_type = Value;
    using difference_type = std::ptrdiff_t;
    using pointer = Value *;
    using reference = Value &;
    bool operator==(const Place &other) const { return m_index == other.m_index; }
    bool operator!=(const Place &other) const { return m_index != other.m_index; }

  protected:
    Place(Node container, const dbk_json_node *at, uint32_t index) : m_container(container), m_at(at), m_index(index) {}
    void step()
    {
        m_at = dbk_json_next(m_at);
        m_index++;
    }
    Node m_container;
    const dbk_json_node *m_at;
    uint32_t m_index;
};

class ArrayIterator : public Place<Adapter>
{
  public:
    ArrayIterator(Node container, const dbk_json_node *at, uint32_t index) : Place(container, at, index) {}
    Adapter operator*() const;
    ArrayIterator &operator++()
    {
        step();
        return *this;
    }
    ArrayIterator operator++(int)
    {
        ArrayIterator before(*this);
        step();
        return before;
    }
    void advance(std::ptrdiff_t n)
    {
        while (n-- > 0) step();
    }
};

class Array
{
  public:
    typedef ArrayIterator const_iterator;
    typedef ArrayIterator iterator;
    Array() : m_node{nullptr, nullptr, 0, false} {}
    explicit Array(Node node) : m_node(node) {}
    ArrayIterator begin() const
    {
        return ArrayIterator(m_node, m_node.node ? dbk_json_child(m_node.node) : nullptr, 0);
    }
    ArrayIterator end() const { return ArrayIterator(m_node, nullptr, static_cast<uint32_t>(size())); }
    size_t size() const { return m_node.node ? m_node.node->count : 0; }

  private:
    Node m_node;
};

/* Walks the members as they are; what `find` hides is hidden only where the library asks for keywords. */
class MemberIterator : public Place<Member>
{
  public:
    MemberIterator(Node container, const dbk_json_node *at, uint32_t index)
        : Place(container, at, index), m_found{nullptr, nullptr, 0, false}
    {
    }
    MemberIterator(Node container, Node found, uint32_t index) : Place(container, nullptr, index), m_found(found) {}
    Member operator*() const;
    adapters::DerefProxy<Member> operator->() const;
    MemberIterator &operator++()
    {
        step();
        return *this;
    }

  private:
    Node m_found; /* of a find: the value itself */
};

class Object
{
  public:
    typedef MemberIterator const_iterator;
    typedef MemberIterator iterator;
    Object() : m_node{nullptr, nullptr, 0, false} {}
    explicit Object(Node node) : m_node(node) {}
    MemberIterator begin() const
    {
        return MemberIterator(m_node, m_node.node ? dbk_json_child(m_node.node) : nullptr, 0);
    }
    MemberIterator end() const
    {
        return MemberIterator(m_node, static_cast<const dbk_json_node *>(nullptr), end_index());
    }
    size_t size() const { return m_node.node ? m_node.node->count : 1; }
    MemberIterator find(const std::string &name) const;

  private:
    uint32_t end_index() const { return m_node.node ? m_node.node->count : 1; }
    MemberIterator found(Node node) const { return MemberIterator(m_node, node, UINT32_MAX); }
    Node m_node;
};

class Frozen : public adapters::FrozenValue
{
  public:
    adapters::FrozenValue *clone() const override { return new Frozen; }
    bool equalTo(const adapters::Adapter &, bool) const override { return false; } /* const and enum are leaves */
};

class Value
{
  public:
    Value() : m_node{nullptr, nullptr, 0, false} {}
    explicit Value(Node node) : m_node(node) {}
    const Node &node() const { return m_node; }
    adapters::FrozenValue *freeze() const { return new Frozen; }
    opt::optional<Array> getArrayOptional() const
    {
        if (isArray()) return opt::make_optional(Array(m_node));
        return {};
    }
    opt::optional<Object> getObjectOptional() const
    {
        if (isObject()) return opt::make_optional(Object(m_node));
        return {};
    }
    bool getArraySize(size_t &result) const { return isArray() && (result = m_node.node->count, true); }
    bool getObjectSize(size_t &result) const { return isObject() && (result = Object(m_node).size(), true); }
    bool getBool(bool &result) const { return isBool() && (result = is_kind(m_node, DBK_JSON_TRUE), true); }
    bool getDouble(double &) const { return false; } /* numbers are leaves */
    bool getInteger(int64_t &) const { return false; }
    bool getString(std::string &result) const
    {
        if (m_node.text) result = "#/@" + std::to_string(m_node.target);
        else if (is_kind(m_node, DBK_JSON_STRING))
            result.assign(reinterpret_cast<const char *>(m_node.node->text.data), m_node.node->text.size);
        else return false;
        return true;
    }
    static bool hasStrictTypes() { return true; }
    bool isArray() const { return is_kind(m_node, DBK_JSON_ARRAY); }
    bool isBool() const { return is_kind(m_node, DBK_JSON_TRUE) || is_kind(m_node, DBK_JSON_FALSE); }
    bool isDouble() const { return false; }
    bool isInteger() const { return false; }
    bool isNull() const { return is_kind(m_node, DBK_JSON_NULL); }
    bool isNumber() const { return is_kind(m_node, DBK_JSON_NUMBER); }
    bool isObject() const { return m_node.node ? m_node.node->kind == DBK_JSON_OBJECT : !m_node.text; }
    bool isString() const { return m_node.text || is_kind(m_node, DBK_JSON_STRING); }

  private:
    Node m_node;
};

class Adapter : public adapters::BasicAdapter<Adapter, Array, Member, Object, Value>
{
  public:
    Adapter() {}
    Adapter(const Node &node) : BasicAdapter(Value(node)), m_node(node) {}
    const Node &node() const { return m_node; }

  private:
    Node m_node{nullptr, nullptr, 0, false};
};

Adapter ArrayIterator::operator*() const
{
    return Adapter(Node{m_container.schema, m_at, 0, false});
}

Member MemberIterator::operator*() const
{
    if (!m_at) return Member(std::string(), Adapter(m_found));
    return Member(std::string(reinterpret_cast<const char *>(m_at->name.data), m_at->name.size),
                  Adapter(Node{m_container.schema, m_at, 0, false}));
}
adapters::DerefProxy<Member> MemberIterator::operator->() const
{
    return adapters::DerefProxy<Member>(**this);
}

/* The library asks for keywords of a schema object by name: here it finds what it shall judge itself. */
MemberIterator Object::find(const std::string &name) const
{
    static const char *const shown[] = {"allOf",
                                        "anyOf",
                                        "oneOf",
                                        "not",
                                        "if",
                                        "then",
                                        "else",
                                        "items",
                                        "additionalItems",
                                        "contains",
                                        "properties",
                                        "patternProperties",
                                        "additionalProperties",
                                        "dependencies"};
    const dbk_json_schema *schema = m_node.schema;
    if (!m_node.node) return name == "$ref" ? found(Node{schema, nullptr, m_node.target, true}) : end();
    if (name == "=leaves") return found(m_node);
    if (name.size() > 1 && name[0] == '@' && m_node.node == schema->root)
        return found(Node{schema, schema->targets[std::stoul(name.substr(1))], 0, false});
    if (name == "$ref") {
        uint32_t target = target_of(schema, m_node.node);
        return target == no_target ? end() : found(Node{schema, nullptr, target, true});
    }
    const dbk_json_node *value = member(m_node.node, name);
    if (!value) return end();
    /* the library would look for it under the path of the object it stands in */
    if (name == "propertyNames") return found(Node{schema, nullptr, target_number(schema, value), false});
    for (const char *keyword : shown)
        if (name == keyword) return found(Node{schema, value, 0, false});
    return end();
}

} /* namespace */

namespace valijson
{
namespace adapters
{
template <> struct AdapterTraits<::Adapter> {
    typedef Node DocumentType;
    static std::string adapterName() { return "daybook"; }
};
} /* namespace adapters */
} /* namespace valijson */

#endif
