/* libvalijson: reads a checked schema into its tree of constraints, and calls our visitor for each. This is the one
 * file that sees it (its headers take seconds to compile), and dbk_valijson_build and dbk_valijson_judge are all that
 * the rest knows of it.
 *
 * The library gets the subschemas and who applies where; leaf keywords are judged by schema/leaf.c, because it
 * compares numbers as doubles, matches with std::regex (which overflows the stack on long texts) and looks at `id`.
 * So the adapter below shows a schema object without its leaf keywords, but with one of its own, "=leaves", whose
 * constraint holds the object itself; and every $ref as "#/@n", a name that the root object gives to target n. */
#include "projector/schema/adapter.hpp"

namespace
{

/* ---- leaf keywords: one constraint for all of a schema object */

class Leaves : public constraints::PolyConstraint
{
  public:
    explicit Leaves(const dbk_json_node *schema) : m_schema(schema) {}
    const dbk_json_node *schema() const { return m_schema; }
    bool validate(const adapters::Adapter &, const std::vector<std::string> &,
                  valijson::ValidationResults *) const override
    {
        return true;
    }

  private:
    constraints::Constraint *cloneInto(void *memory) const override { return new (memory) Leaves(m_schema); }
    size_t sizeOf() const override { return sizeof(Leaves); }
    const dbk_json_node *m_schema;
};

class LeavesBuilder : public valijson::ConstraintBuilder
{
  public:
    constraints::Constraint *make(const adapters::Adapter &value) const override
    {
        return new Leaves(static_cast<const Adapter &>(value).node().node);
    }
};

/* ---- judging */

class Visitor : public constraints::ConstraintVisitor
{
  public:
    Visitor(dbk_judgement *j, const dbk_json_node *value) : m_j(j), m_value(value) {}

    bool fits(const Subschema *subschema)
    {
        if (!subschema) return true;
        if (!dbk_judgement_spend(m_j, 1)) return false;
        if (subschema->getAlwaysInvalid()) return dbk_judgement_wrong(m_j, "is not allowed here");
        Subschema::ApplyFunction apply = [this](const constraints::Constraint &constraint) {
            return constraint.accept(*this);
        };
        return m_j->quiet ? subschema->applyStrict(apply) : subschema->apply(apply);
    }

    bool visit(const AllOfConstraint &c) override
    {
        bool all = true;
        c.applyToSubschemas([&](unsigned, const Subschema *s) {
            all = fits(s) && all;
            return true;
        });
        return all;
    }
    bool visit(const AnyOfConstraint &c) override
    {
        unsigned count = 0;
        bool any = false;
        c.applyToSubschemas([&](unsigned, const Subschema *s) {
            count++;
            any = quietly(s);
            return !any;
        });
        return any || dbk_judgement_wrong(m_j, "fits none of %u alternatives", count);
    }
    bool visit(const OneOfConstraint &c) override
    {
        unsigned count = 0, good = 0;
        c.applyToSubschemas([&](unsigned, const Subschema *s) {
            count++;
            good += quietly(s);
            return true;
        });
        return good == 1 || dbk_judgement_wrong(m_j, "fits %u of %u alternatives, not one", good, count);
    }
    bool visit(const NotConstraint &c) override
    {
        return !quietly(c.getSubschema()) || dbk_judgement_wrong(m_j, "is what 'not' excludes");
    }
    bool visit(const ConditionalConstraint &c) override
    {
        return fits(quietly(c.getIfSubschema()) ? c.getThenSubschema() : c.getElseSubschema());
    }
    bool visit(const ContainsConstraint &c) override
    {
        if (m_value->kind != DBK_JSON_ARRAY) return true;
        const dbk_json_node *child = dbk_json_child(m_value);
        for (uint32_t i = 0; i < m_value->count; i++, child = dbk_json_next(child))
            if (Visitor(m_j, child).quietly(c.getSubschema())) return true;
        return dbk_judgement_wrong(m_j, "has no element of the kind that 'contains' asks for");
    }
    bool visit(const DependenciesConstraint &c) override;
    bool visit(const LinearItemsConstraint &c) override;
    bool visit(const SingularItemsConstraint &c) override
    {
        bool all = true;
        if (m_value->kind != DBK_JSON_ARRAY) return true;
        const dbk_json_node *child = dbk_json_child(m_value);
        for (uint32_t i = 0; i < m_value->count; i++, child = dbk_json_next(child))
            all = element(child, i, c.getItemsSubschema()) && all;
        return all;
    }
    bool visit(const PropertiesConstraint &c) override;
    bool visit(const PropertyNamesConstraint &c) override;
    bool visit(const PolyConstraint &c) override
    {
        return dbk_schema_leaves(m_j, static_cast<const Leaves &>(c).schema(), m_value);
    }

    /* Leaves all: the adapter shows none of them. */
    bool visit(const ConstConstraint &) override { return true; }
    bool visit(const EnumConstraint &) override { return true; }
    bool visit(const FormatConstraint &) override { return true; }
    bool visit(const MaxItemsConstraint &) override { return true; }
    bool visit(const MaximumConstraint &) override { return true; }
    bool visit(const MaxLengthConstraint &) override { return true; }
    bool visit(const MaxPropertiesConstraint &) override { return true; }
    bool visit(const MinItemsConstraint &) override { return true; }
    bool visit(const MinimumConstraint &) override { return true; }
    bool visit(const MinLengthConstraint &) override { return true; }
    bool visit(const MinPropertiesConstraint &) override { return true; }
    bool visit(const MultipleOfDoubleConstraint &) override { return true; }
    bool visit(const MultipleOfIntConstraint &) override { return true; }
    bool visit(const PatternConstraint &) override { return true; }
    bool visit(const RequiredConstraint &) override { return true; }
    bool visit(const TypeConstraint &) override { return true; }
    bool visit(const UniqueItemsConstraint &) override { return true; }

  private:
    bool quietly(const Subschema *subschema)
    {
        m_j->quiet++;
        bool good = fits(subschema);
        m_j->quiet--;
        return good;
    }
    bool element(const dbk_json_node *child, size_t index, const Subschema *subschema)
    {
        size_t size = m_j->pointer.size;
        dbk_pointer_push_index(m_j, index);
        bool good = Visitor(m_j, child).fits(subschema);
        dbk_pointer_pop(m_j, size);
        return good;
    }
    bool property(const dbk_json_node *child, const Subschema *subschema)
    {
        size_t size = m_j->pointer.size;
        dbk_pointer_push(m_j, child->name);
        bool good = Visitor(m_j, child).fits(subschema);
        dbk_pointer_pop(m_j, size);
        return good;
    }
    template <typename String> const dbk_json_node *find(const String &name)
    {
        const dbk_json_node *child = dbk_json_child(m_value);
        if (!dbk_judgement_spend(m_j, m_value->count / 16 + 1)) return nullptr;
        for (uint32_t i = 0; i < m_value->count; i++, child = dbk_json_next(child))
            if (child->name.size == name.size() && std::memcmp(child->name.data, name.data(), name.size()) == 0)
                return child;
        return nullptr;
    }

    dbk_judgement *m_j;
    const dbk_json_node *m_value;
};

bool Visitor::visit(const DependenciesConstraint &c)
{
    bool all = true;
    if (m_value->kind != DBK_JSON_OBJECT) return true;
    c.applyToPropertyDependencies([&](const auto &name, const auto &needed) {
        if (!find(name)) return true;
        for (const auto &other : needed)
            if (!find(other))
                all = dbk_judgement_wrong(m_j, "has '%.100s' but no '%.100s'", name.c_str(), other.c_str());
        return true;
    });
    c.applyToSchemaDependencies([&](const auto &name, const Subschema *subschema) {
        if (find(name)) all = fits(subschema) && all;
        return true;
    });
    return all;
}

bool Visitor::visit(const LinearItemsConstraint &c)
{
    bool all = true;
    if (m_value->kind != DBK_JSON_ARRAY) return true;
    const dbk_json_node *child = dbk_json_child(m_value);
    uint32_t index = 0;
    c.applyToItemSubschemas([&](unsigned, const Subschema *subschema) {
        if (index == m_value->count) return false;
        all = element(child, index++, subschema) && all;
        child = dbk_json_next(child);
        return true;
    });
    /* no schema for the others means that there may be none */
    for (; index < m_value->count; index++, child = dbk_json_next(child)) {
        if (c.getAdditionalItemsSubschema()) all = element(child, index, c.getAdditionalItemsSubschema()) && all;
        else return dbk_judgement_wrong(m_j, "has more than %u elements", index);
    }
    return all;
}

bool Visitor::visit(const PropertiesConstraint &c)
{
    bool all = true;
    if (m_value->kind != DBK_JSON_OBJECT) return true;
    const dbk_json_node *child = dbk_json_child(m_value);
    for (uint32_t i = 0; i < m_value->count; i++, child = dbk_json_next(child)) {
        bool known = false;
        c.applyToProperties([&](const auto &name, const Subschema *subschema) {
            if (child->name.size != name.size() || std::memcmp(child->name.data, name.data(), name.size()) != 0)
                return true;
            known = true;
            all = property(child, subschema) && all;
            return false;
        });
        c.applyToPatternProperties([&](const auto &pattern, const Subschema *subschema) {
            if (!dbk_schema_matches(m_j, dbk_slice_of(pattern.data(), pattern.size()), child->name)) return true;
            known = true;
            all = property(child, subschema) && all;
            return true;
        });
        if (known) continue;
        if (c.getAdditionalPropertiesSubschema() && !c.getAdditionalPropertiesSubschema()->getAlwaysInvalid())
            all = property(child, c.getAdditionalPropertiesSubschema()) && all;
        else
            all = dbk_judgement_wrong(m_j, "has a member '%.*s' that is not allowed",
                                      static_cast<int>(child->name.size < 100 ? child->name.size : 100),
                                      reinterpret_cast<const char *>(child->name.data));
        if (!dbk_judgement_spend(m_j, 1)) return false;
    }
    return all;
}

/* A name is judged as a text. */
bool Visitor::visit(const PropertyNamesConstraint &c)
{
    bool all = true;
    if (m_value->kind != DBK_JSON_OBJECT) return true;
    const dbk_json_node *child = dbk_json_child(m_value);
    for (uint32_t i = 0; i < m_value->count; i++, child = dbk_json_next(child)) {
        dbk_json_node name = {};
        name.kind = DBK_JSON_STRING;
        name.span = 1;
        name.text = child->name;
        if (Visitor(m_j, &name).quietly(c.getSubschema())) continue;
        all = dbk_judgement_wrong(m_j, "has a member '%.*s' whose name does not fit 'propertyNames'",
                                  static_cast<int>(child->name.size < 100 ? child->name.size : 100),
                                  reinterpret_cast<const char *>(child->name.data));
    }
    return all;
}

} /* namespace */

extern "C" dbk_result dbk_valijson_build(dbk_json_schema *schema, dbk_error *err)
{
    valijson::Schema *built = nullptr;
    try {
        built = new valijson::Schema;
        valijson::SchemaParser parser(valijson::SchemaParser::kDraft7);
        parser.addConstraintBuilder("=leaves", new LeavesBuilder);
        parser.populateSchema(Adapter(Node{schema, schema->root, 0, false}), *built);
    } catch (const std::bad_alloc &) {
        delete built;
        return dbk_fail(err, DBK_NO_MEMORY, "no memory for a schema");
    } catch (const std::exception &exception) {
        delete built;
        return dbk_fail(err, DBK_INTERNAL, "cannot read a schema: %s", exception.what());
    }
    schema->built = built;
    return DBK_OK;
}

extern "C" bool dbk_valijson_judge(dbk_judgement *judgement, const dbk_json_node *value)
{
    const valijson::Schema *built = static_cast<const valijson::Schema *>(judgement->schema->built);
    try {
        return Visitor(judgement, value).fits(built);
    } catch (const std::exception &) {
        judgement->failed = true; /* of what is called, only memory can fail */
        return false;
    }
}

extern "C" void dbk_valijson_free(dbk_json_schema *schema)
{
    delete static_cast<valijson::Schema *>(schema->built);
    schema->built = nullptr;
}
