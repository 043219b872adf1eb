"""Every table of ``pg_catalog`` and every column: read for the schema, told by a function of the server, or why not.

A column that stands nowhere here has to be named in the catalogue's statement.
"""

from __future__ import annotations

NUMBER = "a number or name by which rows are joined"
STATE = "a state that no statement declares"
SERVER = "the server's, not this database's"
DERIVED = "follows from something else that is compared"

# Tables that are no part of a schema.
LEFT_OUT = {
    "pg_auth_members": SERVER + "; roles that steps make are looked for (engines/_accounts.py)",
    "pg_authid": SERVER + "; roles that steps make are looked for (engines/_accounts.py)",
    "pg_init_privs": "what initdb and extensions granted; grants are compared with it",
    "pg_replication_origin": SERVER,
    "pg_shdepend": DERIVED,
    "pg_shdescription": SERVER + ": comments on databases, roles and tablespaces",
    "pg_shseclabel": SERVER,
    "pg_statistic": "what ANALYZE found",
    "pg_statistic_ext_data": "what ANALYZE found",
    "pg_subscription_rel": "how far a subscription has come",
}

# What a function of the server says of a row, and the columns that it says.
TOLD = {
    "pg_aggregate": (
        "to_jsonb(g)",
        "aggkind aggnumdirectargs aggtransfn aggfinalfn aggcombinefn aggserialfn aggdeserialfn aggmtransfn"
        " aggminvtransfn aggmfinalfn aggfinalextra aggmfinalextra aggfinalmodify aggmfinalmodify aggtransspace"
        " aggmtransspace agginitval aggminitval",
    ),
    "pg_attrdef": ("pg_get_expr", "adbin"),
    "pg_attribute": ("format_type", "atttypid atttypmod"),
    "pg_constraint": ("pg_get_constraintdef", "conperiod confdelsetcols conexclop conpfeqop conppeqop conffeqop"),
    "pg_index": (
        "pg_get_indexdef",
        "indisunique indisprimary indisexclusion indimmediate indcollation indclass indoption indexprs indnatts indkey",
    ),
    "pg_operator": ("format_type(nullif(o.oprleft", "oprkind"),
    "pg_partitioned_table": (
        "pg_get_partkeydef",
        "partstrat partnatts partattrs partclass partcollation partexprs",
    ),
    "pg_proc": (
        "pg_get_functiondef",
        "prolang procost prorows provariadic prosupport prosecdef proleakproof proisstrict proretset"
        " provolatile pronargs pronargdefaults proallargtypes proargmodes proargnames proargdefaults"
        " protrftypes prosrc probin prosqlbody proconfig",
    ),
    "pg_rewrite": ("pg_get_ruledef", "ev_type is_instead ev_qual ev_action"),
    "pg_statistic_ext": ("pg_get_statisticsobjdef", "stxkeys stxkind stxexprs"),
    "pg_subscription": (
        "to_jsonb(s)",
        "subbinary substream subtwophasestate subdisableonerr subpasswordrequired subrunasowner subfailover"
        " subsynccommit suborigin",
    ),
    "pg_trigger": (
        "pg_get_triggerdef",
        "tgfoid tgtype tgconstrrelid tgdeferrable tginitdeferred tgnargs tgattr tgargs tgqual tgoldtable tgnewtable",
    ),
    "pg_user_mapping": ("pg_user_mappings", "umuser umserver"),
}

# Columns that are not compared.
WHY_NOT = {
    "pg_aggregate": {"aggfnoid": NUMBER},
    "pg_amop": dict.fromkeys(["amoplefttype", "amoprighttype"], "stands in the operator's name")
    | {"amopmethod": DERIVED},
    "pg_attribute": {
        **dict.fromkeys(["attlen", "attbyval", "attalign"], "the type's"),
        "attndims": "int[] and int[][] are one type",
        "atthasdef": DERIVED,
        **dict.fromkeys(["atthasmissing", "attmissingval"], "how ADD COLUMN ... DEFAULT is stored"),
        "attcacheoff": STATE,
    },
    "pg_class": {
        "reltype": NUMBER,
        "relfilenode": STATE,
        **dict.fromkeys(["relpages", "reltuples", "relallvisible", "relallfrozen", "relrewrite"], STATE),
        **dict.fromkeys(["relfrozenxid", "relminmxid"], STATE),
        **dict.fromkeys(["relhasindex", "relnatts", "relchecks", "relhasrules", "relhastriggers"], DERIVED),
        "relhassubclass": DERIVED,
        "relisshared": SERVER,
    },
    "pg_collation": {"collencoding": "the database's", "collversion": "the library's, when last looked at"},
    "pg_constraint": {
        "connamespace": DERIVED,
        "conperiod": DERIVED,
        "coninhcount": "how many parents: that there are some is compared",
    },
    "pg_database": dict.fromkeys(
        [
            "encoding",
            "datlocprovider",
            "datistemplate",
            "datallowconn",
            "dathasloginevt",
            "datconnlimit",
            "datfrozenxid",
            "datminmxid",
            "dattablespace",
            "datcollate",
            "datctype",
            "datlocale",
            "daticulocale",
            "daticurules",
            "datcollversion",
        ],
        "the throwaway database's own: a statement would have to name it",
    ),
    "pg_extension": {
        "extowner": "no statement changes it",
        "extrelocatable": "the extension's",
        **dict.fromkeys(["extconfig", "extcondition"], "what pg_dump does with it"),
    },
    "pg_index": {"indcheckxmin": STATE},
    "pg_language": {"lanispl": DERIVED},
    "pg_largeobject": {},
    "pg_namespace": {},
    "pg_operator": {"oprresult": "the function's"},
    "pg_opfamily": {},
    "pg_partitioned_table": {"partdefid": "the bound of the partition itself", "partrelid": NUMBER},
    "pg_subscription": {"subskiplsn": STATE},
    "pg_tablespace": dict.fromkeys(["spcowner", "spcacl", "spcoptions"], SERVER),
    "pg_trigger": {"tgparentid": "a partition's copy is a trigger of its own", "tgconstrindid": DERIVED},
    "pg_type": {"typisdefined": DERIVED, "typndims": "int[] and int[][] are one type", "typdefaultbin": "typdefault"},
}
